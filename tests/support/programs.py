"""Runners of the three programs: as tasks of this process, as forked processes, as commands."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from support import fork_server
from support.cgroups import MemoryGroup
from support.fork_server import Surroundings, start_worker

import towonel.agent.app
import towonel.agent.settings
import towonel.edge.app
import towonel.edge.settings
import towonel.hub.app
import towonel.hub.settings
from towonel.runtime.settings import load

type Name = Literal["hub", "edge", "agent"]
STOP_S = 40.0
NO_GROUPS: Mapping[str, MemoryGroup] = {}
NO_NETWORKS: Mapping[str, Path] = {}
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Program(Protocol):
    """A running hub, edge or agent."""

    async def stop(self) -> int:
        """Ask it to drain as SIGTERM does, and return its exit code."""
        ...

    async def kill(self) -> None:
        """End it at once."""
        ...

    def log(self) -> str:
        """Return what it wrote so far, if it writes to a file of its own."""
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
                load(towonel.edge.settings.EdgeSettings, environ),
                stopping,
                start_worker=start_worker("edge"),
            )
        case "agent":
            await towonel.agent.app.serve(
                load(towonel.agent.settings.AgentSettings, environ),
                stopping,
                start_worker=start_worker("agent"),
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


class Process(Protocol):
    """A process of the machine: of asyncio, or forked."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: int) -> None: ...


@dataclass
class OwnProcess:
    """A program in a process of its own."""

    process: Process
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
        """Return the resident memory of the process and its workers.

        What it shares with the process that it was forked from counts before and after it is
        written to: only memory that it takes makes this grow.
        """
        return sum(map(resident_bytes_of, [self.process.pid, *self.workers()]))

    def count_descriptors(self) -> int:
        """Return how many descriptors the process and its workers have open."""
        pids = [self.process.pid, *self.workers()]
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)  # noqa: PTH208 names alone

    def workers(self) -> list[int]:
        """Return the processes that it has started."""
        return fork_server.workers_of(self.process.pid)


def resident_bytes_of(pid: int) -> int:
    """Return the resident memory of a process, without a walk through its pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


async def execute(
    program: str, environ: Mapping[str, str], output: Path, python: str = sys.executable
) -> Process:
    """Start a program as its user does: with a command and an environment."""
    with output.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *(python, "-m", f"towonel.{program}"),
            env=dict(environ),
            stdout=log,
            stderr=log,
        )


@dataclass
class ProcessRunner:
    folder: Path
    start_process: Callable[[str, Mapping[str, str], Path], Awaitable[Process]]
    groups: Mapping[str, MemoryGroup] = field(default_factory=dict)  # by name of program
    programs: list[OwnProcess] = field(default_factory=list)

    async def start(self, name: Name, environ: Mapping[str, str]) -> OwnProcess:
        log_file = self.folder / f"{len(self.programs)}-{name}.log"
        program = OwnProcess(await self.start_process(name, environ, log_file), log_file)
        self.programs.append(program)
        return program


@contextlib.asynccontextmanager
async def in_process() -> AsyncIterator[InProcessRunner]:
    async with asyncio.TaskGroup() as tasks:
        runner = InProcessRunner(tasks)
        try:
            yield runner
        finally:
            # Not cancelled: uvicorn would leave its listener in the loop, which goes on here.
            for program in reversed(runner.programs):
                await program.stop()


@contextlib.asynccontextmanager
async def own_processes(
    folder: Path,
    *,
    forked: bool = True,
    worker_user: int | None = None,
    groups: Mapping[str, MemoryGroup] = NO_GROUPS,
    descriptors: int | None = None,
    networks: Mapping[str, Path] = NO_NETWORKS,
) -> AsyncIterator[ProcessRunner]:
    """Run the programs as forked processes, or by their commands, which costs them their imports.

    What is forked has `worker_user` in workers, so many descriptors, and the group and network of its program's name.
    """

    async def fork(program: str, environ: Mapping[str, str], output: Path) -> Process:
        group = groups[program].folder if program in groups else None
        found = Surroundings(group, None, worker_user, descriptors, networks.get(program))
        return await fork_server.start(program, environ, output, surroundings=found)

    runner = ProcessRunner(folder, fork if forked else execute, groups)
    try:
        yield runner
    finally:
        for program in reversed(runner.programs):
            await program.kill()
