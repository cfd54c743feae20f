"""`towonel demo`: the whole of it on this computer, with nothing left behind."""

import asyncio
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from towonel.cli.demo.narration import Recorded, Story, Told
from towonel.cli.demo.plan import DEFAULT_BASE, Ports, curl_line
from towonel.cli.demo.ports import taken
from towonel.cli.demo.processes import Household, StepFailed, household
from towonel.cli.demo.steps import Demo
from towonel.cli.options.flags import Json, examples
from towonel.cli.settings import foreign_environment
from towonel.cli.subprocesses import handle_signals
from towonel.runtime.exit_codes import EXIT_FAILED

PREFIX = "towonel-demo-"


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
    ] = DEFAULT_BASE,
    as_json: Json = False,
) -> None:
    """Show a service at home on the public internet, all of it on this computer.

    Starts hub, edge, agent and a small HTTPS server, and visits it through the tunnel. Stays until Ctrl-C.
    Everything it makes is in a temporary folder, which it deletes.
    """
    story: Story = Recorded() if as_json else Told()
    raise typer.Exit(asyncio.run(run(Ports.starting_at(port_base), story, stays=not once)))


async def run(ports: Ports, story: Story, *, stays: bool) -> int:
    """Play the demo, and return its exit code. Whatever happens, nothing is left running."""
    story.opening()
    problems = taken(ports)
    if problems:
        reason = f"{'; '.join(problems)}. Choose others with --port-base"
        story.failed("ports", reason, None, [])
        return EXIT_FAILED
    exit_code = await _Run(ports, story, stays).whole()
    story.closing()
    return exit_code


class _Run:
    def __init__(self, ports: Ports, story: Story, stays: bool) -> None:
        self._ports = ports
        self._story = story
        self._stays = stays
        self._is_up = False
        self._home: Household | None = None
        self._task: asyncio.Task[object] | None = None
        self._is_interrupted = False

    async def whole(self) -> int:
        self._task = asyncio.current_task()
        with handle_signals(self._on_signal):
            try:
                return await self._in_a_folder()
            except asyncio.CancelledError:
                if not self._is_interrupted:
                    raise
                return 0 if self._is_up else EXIT_FAILED

    async def _in_a_folder(self) -> int:
        with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
            async with household(Path(folder)) as home:
                self._home = home
                return await self._played(home)

    async def _played(self, home: Household) -> int:
        play = Demo(home, self._story, self._ports, foreign_environment())
        try:
            await play.play(datetime.now(UTC))  # noqa: TID251 the certificate begins now
            self._is_up = True
            curl = curl_line(self._ports, play.certificate)
            self._story.invitation(curl, str(home.folder), stays=self._stays)
            if self._stays:
                await home.stay()
        except StepFailed as error:
            self._story.failed(play.title, error.reason, error.program, error.last_lines)
            return EXIT_FAILED
        return 0

    def _on_signal(self, _number: signal.Signals) -> None:
        """Stop at the first; at a second, have the programs end without draining."""
        if not self._is_interrupted and self._task is not None:
            self._is_interrupted = True
            self._task.cancel()
        elif self._home is not None:
            for member in self._home.members:
                member.signal(signal.SIGTERM)
