"""Fork server: hubs, edges and agents of the tests are forked from a process that has imported them.

A process made so is what `python -m towonel.hub` is: it has its own environment, arguments, output,
signals and exit code. Only the seconds that its imports take are paid once a test process.
"""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import text

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import open_read_only

COMMAND_TIMEOUT_S = 40
# Not this module: Python 3.13.0 looks for what it preloads without pytest's own paths.
PRELOADED = [
    "pytest",
    "towonel.hub.cli",
    "towonel.hub.app",
    "towonel.edge.app",
    "towonel.agent.app",
    "towonel.cli.app",
]


def context() -> ForkServerContext:
    """Return what processes are forked with; none shares a thread or a socket with the tests."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


class ForkedProcess:
    """Handle of a forked program, with the methods of an `asyncio.subprocess.Process`."""

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid, "it was started"
        self.pid = process.pid
        self._process = process
        self._lock = threading.Lock()  # of two that read the exit code, the second finds none
        self._exit_code: int | None = None

    async def wait(self) -> int:
        """Return the exit code of the process once it has ended."""
        return await asyncio.to_thread(self._join)

    def send_signal(self, number: int) -> None:
        """Send a signal; one to an ended process is ignored."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _join(self) -> int:
        with self._lock:
            self._process.join()
            assert self._process.exitcode is not None, "it has ended"
            self._exit_code = self._process.exitcode
            return self._exit_code


async def start(
    program: str,
    environ: Mapping[str, str],
    output: Path | None = None,
    arguments: Sequence[str] = (),
) -> ForkedProcess:
    """Start a program, such as `hub`, as its command does; `output` gets both of its outputs."""
    outputs = () if output is None else (output, output)
    return ForkedProcess(await asyncio.to_thread(fork, program, environ, arguments, outputs))


def fork(
    program: str,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
    outputs: Sequence[Path] = (),
) -> BaseProcess:
    """Start a program, or the script at a path; `outputs` are files for its two outputs."""
    work = (program, dict(environ), arguments, [str(path) for path in outputs])
    child = context().Process(target=_run, args=work, daemon=True)
    child.start()
    return child


@dataclass(frozen=True)
class CommandResult:
    """The exit code of a command, and what it wrote to both outputs."""

    code: int | None
    stdout: str
    stderr: str


def run_command(
    environ: Mapping[str, str],
    *arguments: str,
    folder: Path,
    user: int | None = None,
    program: str = "hub",
) -> CommandResult:
    """Run a program with these arguments to its end, as another user where one is given."""
    stdout, stderr = folder / "stdout", folder / "stderr"
    work = (program, dict(environ), arguments, (str(stdout), str(stderr)), user)
    child = context().Process(target=_run, args=work, daemon=True)
    child.start()
    child.join(timeout=COMMAND_TIMEOUT_S)
    child.kill()
    return CommandResult(child.exitcode, stdout.read_text(), stderr.read_text())


def _run(
    program: str,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
    outputs: Sequence[str] = (),
    user: int | None = None,
) -> None:
    gc.freeze()  # else the first search for garbage copies all that the fork server has imported
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, how), descriptor)
        os.chdir(Path(path).parent)  # where a program that is told no folder makes its files
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [f"towonel-{program}", *arguments]
    if user is not None:
        os.setuid(user)
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(f"towonel.{program}", run_name="__main__")


def boot(url: str) -> str:
    """Migrate a database, as a hub does first, and return the revision of its schema."""
    database = Database.parse(url) if "@" in url else Database.parse_file(url)
    upgrade(database)
    with open_read_only(database) as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def url_of(database: Database) -> str:
    """Return what `boot` takes: the address with its password, or the path."""
    return str(database.path or database.url.render_as_string(hide_password=False))
