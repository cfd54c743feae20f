"""Child processes: a program started in a process group of its own, which ends with its parent.

Ctrl-C reaches only the parent. When that is killed, the kernel sends its children SIGTERM.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from towonel.runtime import signals

_PR_SET_PDEATHSIG = 1  # prctl(2)
_SIGNAL_DEBOUNCE_S = 0.1  # people press Ctrl-C more slowly
# Loaded before any fork: between fork and exec nothing may be imported.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """A module and its arguments; `environ` may hold secrets and is never printed."""

    name: str
    module: str
    environ: Mapping[str, str] = field(repr=False)
    arguments: tuple[str, ...] = ()


async def start(program: Program, output: IO[bytes] | int) -> asyncio.subprocess.Process:
    """Start a program whose standard output and error both go to `output`.

    Raises:
        OSError: where the system has no room for another process.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", program.module, *program.arguments),  # -P: nothing from the current folder
        env=dict(program.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        preexec_fn=_die_with_parent(os.getpid()),
    )


async def collect_errors(program: Program) -> tuple[int, str]:
    """Run a program to its end, and return its exit code and its standard error.

    Raises:
        OSError: where the system has no room for another process.
    """
    process = await start(program, asyncio.subprocess.PIPE)
    try:
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return await process.wait(), errors.decode(errors="replace")


@contextmanager
def handle_signals(handle: Callable[[signal.Signals], object]) -> Generator[None]:
    """Hand SIGTERM, SIGINT and SIGHUP to `handle`, in the running loop, while the context lasts.

    The same signal again at once is the same signal: timeout(1) and some runners send it to the
    process and to its group. Afterwards they are ignored: the process is ending, and has its exit
    code.
    """
    loop = asyncio.get_running_loop()
    last_s = dict[signal.Signals, float]()

    def on_signal(number: signal.Signals) -> None:
        is_repeat = loop.time() - last_s.get(number, -_SIGNAL_DEBOUNCE_S) < _SIGNAL_DEBOUNCE_S
        last_s[number] = loop.time()
        if not is_repeat:
            handle(number)

    caught = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        caught.append(signal.SIGHUP)
    with signals.handle_signals(caught, on_signal):
        try:
            yield
        finally:
            signals.ignore_signals(caught)


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before that
            os._exit(1)

    return ask_kernel
