"""Fork server: hubs, edges and agents of the tests are forked from a process that has imported them.

A process made so is what `python -m towonel.hub` is: it has its own environment, arguments, output,
signals and exit code. Only the seconds that its imports take are paid once a test process.
"""

import asyncio
import contextlib
import gc
import importlib
import multiprocessing
import os
import resource
import runpy
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import text
from support.cgroups import enter

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import open_read_only
from towonel.runtime.interrupts import end_at_interrupt

COMMAND_TIMEOUT_S = 40
HAVE_WORKERS = ("edge", "agent")
TESTS = Path(__file__).parents[1]
PRELOADED = "support.preloaded"
STARTING = threading.Lock()
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Surroundings:
    """What a program finds itself in: the control group of its memory, its user, and that of its workers.

    It has so many `descriptors` at most. `network` is the file of a network namespace that is not this process'.
    """

    group: Path | None = None
    user: int | None = None
    worker_user: int | None = None
    descriptors: int | None = None
    network: Path | None = None

    def enter(self) -> None:
        """Let this process be one of the group, whose memory is counted from here on, and of its network, and bound it."""
        if self.group is not None:
            enter(self.group)
        if self.descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))
        if self.network is not None:
            with self.network.open() as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)

    def become_user(self) -> None:
        """Let this process be one of its user."""
        if self.user is not None:
            os.setuid(self.user)

    def become_worker_user(self) -> None:
        """Let this process, a worker, be one of its user."""
        if self.worker_user is not None:
            os.setgroups([])
            os.setgid(self.worker_user)
            os.setuid(self.worker_user)


ORDINARY = Surroundings()


def context() -> ForkServerContext:
    """Return what processes are forked with; none shares a thread or a socket with the tests."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([PRELOADED])
    with (
        STARTING,
        pytest.MonkeyPatch.context() as environ,
    ):  # Python 3.13.0 hands down no paths of pytest
        environ.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        forkserver._forkserver.ensure_running()
    return found


def preload() -> None:
    """Wait until the fork server has imported all, which takes longer than many a test may."""
    child = context().Process(target=gc.collect)
    child.start()
    child.join()


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
    surroundings: Surroundings = ORDINARY,
) -> ForkedProcess:
    """Start a program, such as `hub`, as its command does; `output` gets both of its outputs."""
    outputs = () if output is None else (output, output)
    return ForkedProcess(
        await asyncio.to_thread(fork, program, environ, arguments, outputs, surroundings)
    )


def fork(
    program: str,
    environ: Mapping[str, str],
    arguments: Sequence[str] = (),
    outputs: Sequence[Path] = (),
    surroundings: Surroundings = ORDINARY,
) -> BaseProcess:
    """Start a program, or the script at a path; `outputs` are files for its two outputs."""
    work = (program, dict(environ), arguments, [str(path) for path in outputs], surroundings)
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
    work = (program, dict(environ), arguments, (str(stdout), str(stderr)), Surroundings(user=user))
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
    surroundings: Surroundings = ORDINARY,
) -> None:
    assert PRELOADED in sys.modules, "else each program would pay for its imports"
    surroundings.enter()
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, LOG_FLAGS), descriptor)
        os.chdir(Path(path).parent)  # where a program that is told no folder makes its files
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = [f"towonel-{program}", *arguments]
    surroundings.become_user()
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    elif program in HAVE_WORKERS:
        _share_fork_server()
        end_at_interrupt()
        importlib.import_module(f"towonel.{program}.cli").main(start_worker(program, surroundings))
    else:
        runpy.run_module(f"towonel.{program}", run_name="__main__")


def start_worker(
    program: str, surroundings: Surroundings = ORDINARY
) -> Callable[[socket.socket], Awaitable[ForkedProcess]]:
    """Return what starts workers of a program, such as `edge`, from their channels."""

    async def start(channel: socket.socket) -> ForkedProcess:
        with Connection(os.dup(2), readable=False) as errors:
            work = (program, os.getpid(), channel, errors, surroundings)
            child = context().Process(target=_run_worker, args=work)
            await asyncio.to_thread(child.start)
        return ForkedProcess(child)

    return start


def workers_of(pid: int) -> list[int]:
    """Return the workers of a program: its children, and those that were forked for it."""
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    forked = _children_of(server) if server else []
    return [*_children_of(pid), *(each for each in forked if each != pid and _group(each) == pid)]


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found += map(int, (task / "children").read_text().split())
    return found


def _group(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None


def _share_fork_server() -> None:
    """Let this process, which the fork server has made, ask it for workers of its process group."""
    os.setpgid(0, 0)
    server = forkserver._forkserver
    server.ensure_running = lambda: None  # type: ignore[method-assign]  # it would start another
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def _run_worker(
    program: str,
    control: int,
    channel: socket.socket,
    errors: "Connection[object, object]",
    surroundings: Surroundings,
) -> None:
    surroundings.enter()
    if _group(control) == control:
        os.setpgid(0, control)
    os.dup2(errors.fileno(), 2)
    errors.close()
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    sys.argv = [program, str(channel.detach())]
    surroundings.become_worker_user()
    runpy.run_module(f"towonel.{program}.worker", run_name="__main__")


def boot(url: str) -> str:
    """Migrate a database, as a hub does first, and return the revision of its schema."""
    database = Database.parse(url) if "@" in url else Database.parse_file(url)
    upgrade(database)
    with open_read_only(database) as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def url_of(database: Database) -> str:
    """Return what `boot` takes: the address with its password, or the path."""
    return str(database.path or database.url.render_as_string(hide_password=False))
