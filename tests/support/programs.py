"""Two ways to run the same three programs: inside this process, and by their commands."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import towonel.agent.app
import towonel.agent.settings
import towonel.edge.app
import towonel.edge.settings
import towonel.hub.app
import towonel.hub.settings
from towonel.runtime.settings import load

type Name = Literal["hub", "edge", "agent"]
STOP_S = 40.0


class Program(Protocol):
    """A running hub, edge or agent."""

    async def stop(self) -> int:
        """Ask it to drain as SIGTERM does, and return its exit code."""
        ...

    async def kill(self) -> None:
        """End it without a word."""
        ...

    def log(self) -> str:
        """What it wrote so far, where it writes to a file of its own."""
        ...


class Runner(Protocol):
    """Starts programs and ends what is left of them."""

    async def start(self, name: Name, environ: Mapping[str, str]) -> Program: ...


@dataclass
class InProcess:
    """A program as a task of this loop."""

    stopping: asyncio.Event
    task: asyncio.Task[None]

    async def stop(self) -> int:
        self.stopping.set()
        async with asyncio.timeout(STOP_S):
            await asyncio.wait([self.task])
        return 0 if self.task.exception() is None else 1

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def log(self) -> str:
        return ""


async def serve(name: Name, environ: Mapping[str, str], stopping: asyncio.Event) -> None:
    match name:
        case "hub":
            await towonel.hub.app.serve(load(towonel.hub.settings.HubSettings, environ), stopping)
        case "edge":
            await towonel.edge.app.serve(
                load(towonel.edge.settings.EdgeSettings, environ), stopping
            )
        case "agent":
            await towonel.agent.app.serve(
                load(towonel.agent.settings.AgentSettings, environ), stopping
            )


@dataclass
class InProcessRunner:
    tasks: asyncio.TaskGroup
    programs: list[InProcess] = field(default_factory=list)

    async def start(self, name: Name, environ: Mapping[str, str]) -> Program:
        stopping = asyncio.Event()
        program = InProcess(stopping, self.tasks.create_task(serve(name, environ, stopping)))
        self.programs.append(program)
        return program


@dataclass
class OwnProcess:
    """A program as its user starts it: a command and an environment."""

    process: asyncio.subprocess.Process
    log_file: Path

    async def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.wait()

    async def wait(self) -> int:
        async with asyncio.timeout(STOP_S):
            return await self.process.wait()

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def log(self) -> str:
        return self.log_file.read_text()

    def resident_bytes(self) -> int:
        """Resident memory of the process, without what it shares with others."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("smaps_rollup always has Private_Dirty")


@dataclass
class ProcessRunner:
    folder: Path
    programs: list[OwnProcess] = field(default_factory=list)

    async def start(self, name: Name, environ: Mapping[str, str]) -> OwnProcess:
        log_file = self.folder / f"{len(self.programs)}-{name}.log"
        with log_file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"towonel.{name}"),
                env=dict(environ),
                stdout=log,
                stderr=log,
            )
        program = OwnProcess(process, log_file)
        self.programs.append(program)
        return program


@contextlib.asynccontextmanager
async def in_process() -> AsyncIterator[InProcessRunner]:
    async with asyncio.TaskGroup() as tasks:
        runner = InProcessRunner(tasks)
        try:
            yield runner
        finally:
            for program in reversed(runner.programs):
                await program.kill()


@contextlib.asynccontextmanager
async def own_processes(folder: Path) -> AsyncIterator[ProcessRunner]:
    runner = ProcessRunner(folder)
    try:
        yield runner
    finally:
        for program in reversed(runner.programs):
            await program.kill()
