"""Subject of the benchmark: what lies between its clients and its origin; and how programs of it run."""

import asyncio
import contextlib
import os
import shutil
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from process_usage import Roots

LISTEN_S = 15.0
FOLDERS = ("~/.cargo/bin", "~/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
type Start = Callable[[Path, int], AbstractAsyncContextManager["Entry"]]


class SubjectError(Exception):
    """Error of a subject that cannot be measured; the others can."""


@dataclass(frozen=True)
class Entry:
    """Port of a running subject that clients connect to, and the processes of its sides."""

    port: int
    roots: Roots = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Subject:
    """Program, or chain of programs, to measure: its name, how it starts, what it needs and can hold."""

    name: str
    start: Start  # with a folder of its own and the port of the origin
    programs: tuple[str, ...] = ()
    version: tuple[str, ...] = ()  # the command that prints it
    find_obstacle: Callable[[], str | None] = lambda: None
    most_connections: int | None = None  # where it is known to hold no more at once

    def reason_to_leave_out(self) -> str | None:
        missing = [program for program in self.programs if find(program) is None]
        if missing:
            return f"not installed: {', '.join(missing)}"
        return self.find_obstacle()


def find(program: str) -> str | None:
    """Return the path of a program; package managers put some where PATH does not lead."""
    folders = map(os.path.expanduser, FOLDERS)
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))


@contextlib.asynccontextmanager
async def run_program(log: Path, program: str, *arguments: object) -> AsyncIterator[Process]:
    """Run a program of a subject until the context ends; it writes into the log."""
    path = find(program)
    assert path, "only what is installed is started"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(path, *map(str, arguments)), stdin=DEVNULL, stdout=output, stderr=STDOUT
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def wait_listening(process: Process, log: Path, port: int, host: str = "127.0.0.1") -> None:
    """Wait until a port accepts connections.

    Raises:
        SubjectError: where the process ends first, or it takes too long.
    """
    try:
        async with asyncio.timeout(LISTEN_S):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(host, port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise SubjectError(f"it does not listen after {LISTEN_S:.0f} s: {last_line(log)}") from None
    raise SubjectError(f"it ended with status {process.returncode}: {last_line(log)}")


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
