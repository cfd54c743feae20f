"""`towonel demo`: hub, edge, agent and a service on this computer, with nothing left behind."""

import asyncio
import json
import shutil
import signal
import tempfile
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from towonel.api.invites import InviteIn
from towonel.cli.demo import page
from towonel.cli.demo.page import HOST, HOSTNAME
from towonel.cli.demo.processes import (
    DemoProcess,
    Port,
    Ports,
    Processes,
    StepFailed,
    agent_environment,
    serve_environment,
    wait_ready,
)
from towonel.cli.options.choices import Format
from towonel.cli.options.flags import Json, examples
from towonel.cli.output import Block, Fields, Output, print_output
from towonel.cli.settings import foreign_environment
from towonel.cli.subprocesses import Program, handle_signals
from towonel.cli.target import KEY_FILE
from towonel.client.operator import OperatorClient
from towonel.runtime import secretfile
from towonel.runtime.environment.ports import is_free
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK
from towonel.wire.errors import TowonelError

PREFIX = "towonel-demo-"
STEPS = {
    "A service at home": "A small HTTPS server stands for what runs in your house. It has its own"
    " certificate; the private key never leaves it.",
    "A public machine": "`towonel serve` starts the two programs of the machine that everybody can"
    " reach: the hub keeps the record of who may publish what, and the edge takes the visitors.",
    "An invite": f"The operator asks the hub for an invite to publish {HOSTNAME}. Its token is shown"
    " once, and is all that the home needs.",
    "The agent at home": "It runs beside the service, told everything by two environment variables."
    " It dials the edge, so no port is opened at home, and any address will do.",
    "A visitor": f"Someone opens https://{HOSTNAME}, and reaches the edge. It reads the name in the"
    " first packet and hands the rest, still encrypted, down the tunnel.",
}
SERVICE, PUBLIC, INVITE, AGENT, CLIENT = STEPS
ABOUT = "All of it on this computer, for show: hub, edge, agent and the service."
OTHER_PORTS = "Choose others: towonel demo --port-base 20000, or make demo PORT_BASE=20000"
EQUAL = "equal: the TLS ends at the service, and nobody in between can read it"
_MAX_WIDTH = 100  # longer lines are hard to read

app = typer.Typer()


@app.command(
    epilog=examples("towonel demo", "towonel demo --once", "towonel demo --port-base 20000")
)
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after one visit: 0 if it worked, 1 if not.")
    ] = False,
    port_base: Annotated[
        int,
        typer.Option(min=1024, max=65_530, help="The first of six ports in a row, on loopback."),
    ] = 14_443,
    as_json: Json = False,
) -> None:
    """Show a service at home on the public internet, all of it on this computer.

    Starts hub, edge, agent and a small HTTPS server, and visits it through the tunnel. Stays until Ctrl-C.
    Everything it makes is in a temporary folder, which it deletes.
    """
    ports = dict(zip(Port, range(port_base, port_base + len(Port)), strict=True))
    form = Format.JSON if as_json else Format.TABLE
    raise typer.Exit(asyncio.run(run(Demo(ports, form, stays=not once))))


async def run(demo: "Demo") -> int:
    """Run the demo, and return its exit code. Whatever happens, nothing is left running."""
    demo.say({}, "Towonel: a service at home, on the public internet.", wrap(ABOUT))
    used = [
        f"port {n} ({port}) is in use" for port, n in demo.ports.items() if not is_free(HOST, n)
    ]
    if used:
        demo.report(StepFailed(f"{'; '.join(used)}. {OTHER_PORTS}"))
        return EXIT_FAILED
    with handle_signals(demo.on_signal):
        exit_code = await demo.run()
    demo.say({"stopped": True}, "\nEverything is stopped, and the folder is deleted.")
    return exit_code


@dataclass(slots=True)
class Demo:
    """One run of the demo: five steps, each announced before it is done.

    It says all in plain ASCII, so that any terminal and any file takes it.
    """

    ports: Ports
    form: Format
    stays: bool
    title: str = "ports"
    processes: Processes | None = None
    _is_up: bool = False
    _steps: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run all steps in a temporary folder, and stay if asked to; return the exit code."""
        try:
            with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
                async with asyncio.TaskGroup() as tasks:
                    self.processes = Processes(Path(folder), tasks)
                    self._steps = tasks.create_task(self._run_steps(self.processes))
        except* StepFailed as failures:
            self._is_up = False
            for failure in failures.exceptions:
                if isinstance(failure, StepFailed):  # it is no group, as nothing nests groups here
                    self.report(failure)
        return EXIT_OK if self._is_up else EXIT_FAILED

    def on_signal(self, _number: signal.Signals) -> None:
        """Stop at the first; at a second, have the programs end without draining."""
        if self._steps is not None and not self._steps.cancelling():
            self._steps.cancel()
        elif self.processes is not None:
            for each in self.processes.started:
                each.signal(signal.SIGTERM)

    async def _run_steps(self, processes: Processes) -> None:
        origin, hub, edge = (
            f"{HOST}:{self.ports[port]}" for port in (Port.ORIGIN, Port.HUB, Port.EDGE)
        )
        now = datetime.now(UTC)  # noqa: TID251 it begins now
        certificate, digest = page.write_certificate(processes.folder, now)
        self.show_step(SERVICE)
        async with page.serve_page(self.ports[Port.ORIGIN], certificate):
            self.show_facts(
                ("service", f"https on {origin}"), ("its certificate", f"SHA-256 {digest}")
            )
            self.show_step(PUBLIC)
            environ = foreign_environment() | serve_environment(self.ports, processes.folder)
            async with processes.run(Program("serve", "towonel.cli", environ, ("serve",))) as node:
                await wait_ready(node, self.ports[Port.HUB_HEALTH])
                await wait_ready(node, self.ports[Port.EDGE_HEALTH])
                self.show_facts(
                    ("hub", f"API on {hub}"),
                    ("edge", f"visitors and agents on {edge}, TCP and UDP"),
                )
                self.show_step(INVITE)
                token = await _create_invite(f"http://{hub}", processes.folder, node)
                self.show_facts(("token", f"tt_inv_2_... ({len(token)} characters)"))
                await self._run_agent(processes, token, certificate, digest)

    async def _run_agent(
        self, processes: Processes, token: str, certificate: Path, digest: str
    ) -> None:
        self.show_step(AGENT)
        environ = foreign_environment() | agent_environment(self.ports, token)
        async with processes.run(Program("agent", "towonel.agent", environ)) as agent:
            await wait_ready(agent, self.ports[Port.AGENT_HEALTH])
            services = f"TOWONEL_AGENT_SERVICES={environ['TOWONEL_AGENT_SERVICES']}"
            self.show_facts(
                ("first variable", "TOWONEL_INVITE_TOKEN (the token)"),
                ("second variable", services),
                ("tunnel", "the agent is connected to the edge"),
            )
            self.show_step(CLIENT)
            await self._fetch_page(certificate, digest, agent)
            self._is_up = True
            self.show_curl(certificate)
            if self.stays:
                await asyncio.Event().wait()

    async def _fetch_page(self, certificate: Path, digest: str, agent: DemoProcess) -> None:
        try:
            seen = await page.fetch(self.ports[Port.EDGE], certificate)
        except page.FetchFailed as error:
            raise StepFailed(f"no page through the tunnel: {error}", agent) from error
        self.show_facts(
            ("answer", f"{seen.status}, over {seen.protocol}"),
            ("page", json.dumps(seen.heading)),
            ("certificate seen", f"SHA-256 {seen.fingerprint}"),
            ("the service's own", f"SHA-256 {digest}"),
            ("so they are", EQUAL if seen.fingerprint == digest else "different"),
        )
        if seen.fingerprint != digest:
            raise StepFailed("the visitor saw a certificate that is not the service's", agent)

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


async def _create_invite(hub_url: str, folder: Path, node: DemoProcess) -> str:
    try:
        key = secretfile.read(folder / KEY_FILE).decode().strip()
        async with OperatorClient(hub_url, operator_key=key) as hub:
            return (await hub.invites.create(InviteIn(name="demo", hostnames=[HOSTNAME]))).token
    except (TowonelError, secretfile.SecretFileError) as error:
        raise StepFailed(str(error), node) from error


def wrap(text: str) -> str:
    """Fold prose for the width of the terminal."""
    return textwrap.fill(text, min(shutil.get_terminal_size().columns, _MAX_WIDTH) - 1)
