"""`towonel demo`: hub, edge, agent and a service on this computer, with nothing left behind."""

import asyncio
import json
import signal
import tempfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Annotated

import typer
from rich.text import Text

from towonel.api.invites import InviteIn
from towonel.cli.demo import page
from towonel.cli.demo.page import HOST, HOSTNAME
from towonel.cli.demo.processes import (
    DemoProcess,
    Ports,
    Processes,
    StepFailed,
    agent_environment,
    ports_in_use,
    run_processes,
    serve_environment,
)
from towonel.cli.options.flags import Json, examples
from towonel.cli.output import console, print_json
from towonel.cli.settings import foreign_environment
from towonel.cli.subprocesses import Program, handle_signals
from towonel.client.operator import OperatorClient
from towonel.runtime import secretfile
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
EQUAL = "equal: the TLS ends at the service, and nobody in between can read it"
_INDENT = " " * 3
_MAX_WIDTH = 100  # longer lines are hard to read
_NAME_WIDTH = 18

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
    ports = Ports(*range(port_base, port_base + len(Ports._fields)))
    raise typer.Exit(asyncio.run(run(ports, Narration(as_json=as_json), stays=not once)))


async def run(ports: Ports, narration: "Narration", *, stays: bool) -> int:
    """Run the demo, and return its exit code. Whatever happens, nothing is left running."""
    narration.opening()
    problems = ports_in_use(ports)
    if problems:
        reason = f"{'; '.join(problems)}. Choose others with --port-base"
        narration.failed("ports", StepFailed(reason))
        return EXIT_FAILED
    demo = Demo(ports, narration, stays=stays)
    with handle_signals(demo.on_signal):
        exit_code = await demo.run()
    narration.closing()
    return exit_code


class Demo:
    """One run of the demo: five steps, each announced before it is done."""

    def __init__(self, ports: Ports, narration: "Narration", *, stays: bool) -> None:
        self._ports = ports
        self._narration = narration
        self._stays = stays
        self._is_up = False
        self._is_interrupted = False
        self._processes: Processes | None = None
        self._task: asyncio.Task[object] | None = None

    async def run(self) -> int:
        """Run all steps in a temporary folder, and stay if asked to; return the exit code."""
        self._task = asyncio.current_task()
        try:
            with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
                async with run_processes(Path(folder)) as processes:
                    self._processes = processes
                    return await self._run_steps(processes)
        except asyncio.CancelledError:
            if not self._is_interrupted:
                raise
            return EXIT_OK if self._is_up else EXIT_FAILED

    def on_signal(self, _number: signal.Signals) -> None:
        """Stop at the first; at a second, have the programs end without draining."""
        if not self._is_interrupted and self._task is not None:
            self._is_interrupted = True
            self._task.cancel()
        elif self._processes is not None:
            for each in self._processes.running:
                each.signal(signal.SIGTERM)

    async def _run_steps(self, processes: Processes) -> int:
        certificate, key = (processes.folder / f"origin.{suffix}" for suffix in ("pem", "key"))
        pem, private = page.self_signed(datetime.now(UTC))  # noqa: TID251 it begins now
        secretfile.replace(certificate, pem)
        secretfile.replace(key, private)
        digest = page.fingerprint(PEM_cert_to_DER_cert(pem.decode()))
        self._narration.step(SERVICE)
        try:
            with page.serve_page(self._ports.origin, certificate, key):
                self._narration.facts(
                    ("service", f"https on {HOST}:{self._ports.origin}"),
                    ("its certificate", f"SHA-256 {digest}"),
                )
                node = await self._start_hub_and_edge(processes)
                agent = await self._start_agent(processes, await self._invite(node))
                await self._fetch_page(certificate, digest, agent)
                await self._stay(processes, curl_line(self._ports, certificate))
        except StepFailed as error:
            self._narration.failed(self._narration.title, error)
            return EXIT_FAILED
        return EXIT_OK

    async def _start_hub_and_edge(self, processes: Processes) -> DemoProcess:
        self._narration.step(PUBLIC)
        environ = foreign_environment() | serve_environment(self._ports, processes.folder)
        node = await processes.start(Program("serve", "towonel.cli", environ, ("serve",)))
        await processes.wait_ready(node, self._ports.hub_health)
        await processes.wait_ready(node, self._ports.edge_health)
        self._narration.facts(
            ("hub", f"API on {HOST}:{self._ports.hub}"),
            ("edge", f"visitors and agents on {HOST}:{self._ports.edge}, TCP and UDP"),
        )
        return node

    async def _invite(self, node: DemoProcess) -> str:
        self._narration.step(INVITE)
        try:
            key = secretfile.read(node.log.parent / "operator.key").decode().strip()
            async with OperatorClient(f"http://{HOST}:{self._ports.hub}", operator_key=key) as hub:
                invite = await hub.invites.create(InviteIn(name="demo", hostnames=[HOSTNAME]))
        except (TowonelError, secretfile.SecretFileError) as error:
            raise StepFailed(str(error), node) from error
        self._narration.facts(("token", f"tt_inv_2_... ({len(invite.token)} characters)"))
        return invite.token

    async def _start_agent(self, processes: Processes, token: str) -> DemoProcess:
        self._narration.step(AGENT)
        environ = foreign_environment() | agent_environment(self._ports, token)
        agent = await processes.start(Program("agent", "towonel.agent", environ))
        await processes.wait_ready(agent, self._ports.agent_health)
        services = f"TOWONEL_AGENT_SERVICES={environ['TOWONEL_AGENT_SERVICES']}"
        self._narration.facts(
            ("first variable", "TOWONEL_INVITE_TOKEN (the token)"),
            ("second variable", services),
            ("tunnel", "the agent is connected to the edge"),
        )
        return agent

    async def _fetch_page(self, certificate: Path, digest: str, agent: DemoProcess) -> None:
        self._narration.step(CLIENT)
        try:
            fetched = await page.fetch(self._ports.edge, certificate)
        except page.FetchFailed as error:
            raise StepFailed(f"no page through the tunnel: {error}", agent) from error
        seen_digest = page.fingerprint(fetched.certificate)
        self._narration.facts(
            ("answer", f"{fetched.status}, over {fetched.protocol}"),
            ("page", json.dumps(fetched.heading)),
            ("certificate seen", f"SHA-256 {seen_digest}"),
            ("the service's own", f"SHA-256 {digest}"),
        )
        if seen_digest != digest:
            raise StepFailed("the visitor saw a certificate that is not the service's", agent)
        self._narration.facts(("so they are", EQUAL))

    async def _stay(self, processes: Processes, curl: str) -> None:
        self._is_up = True
        self._narration.invitation(curl, str(processes.folder), stays=self._stays)
        if self._stays:
            await processes.wait_until_one_ends()


class Narration:
    """Progress of the demo: in sentences for people, or one line of JSON a step.

    Plain ASCII, so that any terminal and any file takes it.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._out = console()
        self.title = SERVICE

    def opening(self) -> None:
        if not self._as_json:
            self._print("Towonel: a service at home, on the public internet.", "bold")
            self._prose("All of it on this computer, for show: hub, edge, agent and the service.")

    def step(self, title: str) -> None:
        self.title = title
        if self._as_json:
            print_json({"step": title, "text": STEPS[title]})
            return
        self._print(f"\n{[*STEPS].index(title) + 1}. {title}", "bold")
        self._prose(STEPS[title], _INDENT)

    def facts(self, *facts: tuple[str, str]) -> None:
        if self._as_json:
            print_json({"facts": dict(facts)})
            return
        for name, value in facts:
            self._out.print(Text.assemble(_INDENT, (f"{name:<{_NAME_WIDTH}}", "dim"), value))

    def invitation(self, curl: str, folder: str, *, stays: bool) -> None:
        if self._as_json:
            print_json({"ok": True, "curl": curl, "folder": folder, "stays": stays})
        elif stays:
            self._print("\nTry it from another terminal:", "bold")
            self._print(f"{_INDENT}{curl}\n")
            self._prose(f"Ctrl-C ends the demo and deletes {folder}.")

    def failed(self, title: str, error: StepFailed) -> None:
        program, lines = error.program, error.last_lines
        if self._as_json:
            failure = {"reason": str(error), "program": program, "log": lines}
            print_json({"ok": False, "step": title, **failure})
            return
        self._print(f"\nFAILED: {title}: {error}", "bold red")
        if program is not None:
            self._print(f"{_INDENT}The last lines of {program}'s log:" if lines else "")
        for line in lines:
            self._print(f"{_INDENT}| {line}")

    def closing(self) -> None:
        if self._as_json:
            print_json({"stopped": True})
        else:
            self._print("\nEverything is stopped, and the folder is deleted.")

    def _print(self, text: str, style: str = "") -> None:
        self._out.print(Text(text, style))

    def _prose(self, text: str, indent: str = "") -> None:
        width = min(self._out.width, _MAX_WIDTH) - 1
        self._print(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent))


def curl_line(ports: Ports, certificate: Path) -> str:
    """Return the command that fetches the page again."""
    return (
        f"curl --resolve {HOSTNAME}:{ports.edge}:{HOST} --cacert {certificate}"
        f" https://{HOSTNAME}:{ports.edge}/"
    )
