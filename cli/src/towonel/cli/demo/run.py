"""`towonel demo`: hub, edge, agent and a service on this computer, with nothing left behind."""

import asyncio
import contextlib
import json
import shutil
import ssl
import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from towonel.api.invites import InviteIn
from towonel.cli.demo import page
from towonel.cli.demo.page import HOST, HOSTNAME
from towonel.cli.demo.processes import Port, StepFailed, agent_program, run_program, serve_program
from towonel.cli.options.choices import Format
from towonel.cli.options.flags import Json, examples
from towonel.cli.output import Block, Fields, Output, print_output
from towonel.cli.subprocesses import handle_signals
from towonel.cli.target import KEY_FILE
from towonel.client.operator import OperatorClient
from towonel.runtime.environment.ports import is_free
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK
from towonel.wire.errors import TowonelError

STEPS = {
    "A service at home": "A small HTTPS server stands for a service that you run at home. It has its own"
    " certificate; the private key never leaves it.",
    "A public machine": "`towonel serve` starts the two programs of the machine that everybody can"
    " reach: the hub keeps the record of who may publish what, and clients connect to the edge.",
    "An invite": f"The operator asks the hub for an invite to publish {HOSTNAME}. Its token is shown"
    " once, and is all that the home needs.",
    "The agent at home": "It runs beside the service, told everything by two environment variables."
    " It dials the edge, so no port is opened at home, and any address will do.",
    "A client": f"A client asks for https://{HOSTNAME}, and reaches the edge. It reads the name in the"
    " first packet and hands the rest, still encrypted, down the tunnel.",
}
SERVICE, PUBLIC, INVITE, AGENT, CLIENT = STEPS
ABOUT = "All of it on this computer, for show: hub, edge, agent and the service."
OTHER_PORTS = "Choose others: towonel demo --port-base 20000, or make demo PORT_BASE=20000"
EQUAL = "equal: the TLS ends at the service, and nobody in between can read it"
FETCH_S = 15.0  # for the route to reach the edge
_MAX_WIDTH = 100  # longer lines are hard to read

app = typer.Typer()


@app.command(
    epilog=examples("towonel demo", "towonel demo --once", "towonel demo --port-base 20000")
)
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after one request: 0 if it worked, 1 if not.")
    ] = False,
    port_base: Annotated[
        int,
        typer.Option(min=1024, max=65_530, help="The first of six ports in a row, on loopback."),
    ] = 14_443,
    as_json: Json = False,
) -> None:
    """Show a service at home on the public internet, all of it on this computer.

    Starts hub, edge, agent and a small HTTPS server, and requests its page through the tunnel. Stays until Ctrl-C.
    Everything it makes is in a temporary folder, which it deletes.
    """
    form = Format.JSON if as_json else Format.TABLE
    raise typer.Exit(asyncio.run(run(make_demo(port_base, form, once=once))))


def make_demo(port_base: int, form: Format, *, once: bool) -> "Demo":
    """Return a demo on six ports in a row, which ends by itself if it is to run `once`."""
    ports = dict(zip(Port, range(port_base, port_base + len(Port)), strict=True))
    return Demo(ports, form, stays=not once)


async def run(demo: "Demo") -> int:
    """Run the demo, and return its exit code. Whatever happens, nothing is left running."""
    demo.say({}, "Towonel: a service at home, on the public internet.", wrap(ABOUT))
    used = [
        f"port {n} ({port}) is in use" for port, n in demo.ports.items() if not is_free(HOST, n)
    ]
    if used:
        demo.report(StepFailed(f"{'; '.join(used)}. {OTHER_PORTS}"))
        return EXIT_FAILED
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(demo.run())
        # A second signal changes nothing: all that was started is ending.
        with handle_signals(lambda _: running.cancelling() or running.cancel()):
            await asyncio.wait([running])
    demo.say({"stopped": True}, "\nEverything is stopped, and the folder is deleted.")
    return demo.exit_code


@dataclass(slots=True)
class Demo:
    """One run of the demo: five steps, each announced before it is done.

    It says all in plain ASCII, so that any terminal and any file takes it.
    """

    ports: Mapping[Port, int]
    form: Format
    stays: bool
    title: str = "ports"
    exit_code: int = EXIT_FAILED

    async def run(self) -> None:
        """Run all steps in a temporary folder; stay, if asked to, until cancelled."""
        try:
            with tempfile.TemporaryDirectory(
                prefix="towonel-demo-", ignore_cleanup_errors=True
            ) as folder:
                await self._run_steps(Path(folder))
        except StepFailed as error:
            self.exit_code = EXIT_FAILED
            self.report(error)

    async def _run_steps(self, folder: Path) -> None:
        certificate, digest = page.write_certificate(folder)
        at = {port: f"{HOST}:{number}" for port, number in self.ports.items()}
        async with contextlib.AsyncExitStack() as stack:
            self.show_step(SERVICE)
            await stack.enter_async_context(page.serve_page(self.ports[Port.ORIGIN], certificate))
            self.show_facts(
                ("service", f"https on {at[Port.ORIGIN]}"), ("its certificate", f"SHA-256 {digest}")
            )
            self.show_step(PUBLIC)
            program = serve_program(self.ports, folder)
            serve = await stack.enter_async_context(run_program(program, folder))
            self.show_facts(
                ("hub", f"API on {at[Port.HUB]}"),
                ("edge", f"clients and agents on {at[Port.EDGE]}, TCP and UDP"),
            )
            self.show_step(INVITE)
            token = await _create_invite(f"http://{at[Port.HUB]}", folder, serve)
            self.show_facts(("token", f"tt_inv_2_... ({len(token)} characters)"))
            self.show_step(AGENT)
            program = agent_program(self.ports, token)
            agent = await stack.enter_async_context(run_program(program, folder))
            services = f"TOWONEL_AGENT_SERVICES={program.environ['TOWONEL_AGENT_SERVICES']}"
            self.show_facts(
                ("first variable", "TOWONEL_INVITE_TOKEN (the token)"),
                ("second variable", services),
                ("tunnel", "the agent is connected to the edge"),
            )
            self.show_step(CLIENT)
            await self.fetch_page(certificate, digest, agent)
            await self.finish(certificate)

    async def fetch_page(self, certificate: Path, digest: str, agent: Path) -> None:
        """Fetch the page through the tunnel, and show that its TLS ends at the service."""
        try:
            url = f"https://{HOST}:{self.ports[Port.EDGE]}/"
            answer = await page.fetch(url, FETCH_S, certificate)
        except TimeoutError as error:
            raise StepFailed(f"no page through the tunnel: {error}", agent) from error
        tls: ssl.SSLObject = answer.extensions["network_stream"].get_extra_info("ssl_object")
        seen = page.fingerprint(tls.getpeercert(binary_form=True) or b"")
        if seen != digest or page.TITLE not in answer.text:
            raise StepFailed("the client got another page or certificate", agent)
        status = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"
        self.show_facts(
            ("answer", f"{status}, over {tls.version()}"),
            ("page", json.dumps(page.TITLE)),
            ("certificate seen", f"SHA-256 {seen}"),
            ("the service's own", f"SHA-256 {digest}"),
            ("so they are", EQUAL),
        )

    async def finish(self, certificate: Path) -> None:
        """Show how to try it; stay, if asked to, until cancelled."""
        self.exit_code = EXIT_OK
        self.show_curl(certificate)
        if self.stays:
            await asyncio.Event().wait()

    def show_step(self, title: str) -> None:
        self.title = title
        number, text = [*STEPS].index(title) + 1, STEPS[title]
        self.say({"step": title, "text": text}, f"\n{number}. {title}", wrap(text))

    def show_facts(self, *facts: tuple[str, str]) -> None:
        self.say({"facts": dict(facts)}, Fields(facts))

    def show_curl(self, certificate: Path) -> None:
        name, port, folder = HOSTNAME, self.ports[Port.EDGE], str(certificate.parent)
        curl = f"curl --resolve {name}:{port}:{HOST} --cacert {certificate} https://{name}:{port}/"
        end = wrap(f"Ctrl-C ends the demo and deletes {folder}.")
        document: dict[str, object] = {"curl": curl, "folder": folder, "stays": self.stays}
        lines = ("\nTry it from another terminal:", curl, "", end) if self.stays else ()
        self.say({"ok": True} | document, *lines)

    def report(self, error: StepFailed) -> None:
        """Tell which step failed, why, and what the program concerned logged last."""
        reason, lines = str(error), error.last_lines
        document: dict[str, object] = {"ok": False, "step": self.title, "reason": reason}
        heading = [f"The last lines of {error.program}'s log:"] if lines else []
        self.say(
            document | {"program": error.program, "log": lines},
            f"\nFAILED: {self.title}: {reason}",
            *heading,
            *(f"| {line}" for line in lines),
        )

    def say(self, document: dict[str, object], *blocks: Block) -> None:
        """Print one thing: a line of JSON for programs, or what people read."""
        if document or self.form is Format.TABLE:
            print_output(Output(document, *blocks), self.form)


async def _create_invite(hub_url: str, folder: Path, serve: Path) -> str:
    try:
        key = (folder / KEY_FILE).read_text().strip()
        async with OperatorClient(hub_url, operator_key=key) as hub:
            return (await hub.invites.create(InviteIn(name="demo", hostnames=[HOSTNAME]))).token
    except TowonelError as error:
        raise StepFailed(str(error), serve) from error


def wrap(text: str) -> str:
    """Fold prose for the width of the terminal."""
    return textwrap.fill(text, min(shutil.get_terminal_size().columns, _MAX_WIDTH) - 1)
