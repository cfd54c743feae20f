"""Lifecycle of a process: the first signal drains it, the second ends it; and its exit codes.

0   drained and done
1   a failure, or a second signal
75  the drain took longer than it may (EX_TEMPFAIL)
78  the settings are wrong (EX_CONFIG)
"""

import asyncio
import atexit
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import cast

import structlog

from towonel.runtime import logs
from towonel.runtime.dns.lookups import EventLoop
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_SETTINGS, EXIT_UNAVAILABLE
from towonel.runtime.logs import describe_error
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import Settings, SettingsError, load
from towonel.runtime.signals import handle_signals, ignore_signals

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLEANUP_S = 10.0  # last reports, and what is saved to disk
log = structlog.get_logger()

type Serve = Callable[[asyncio.Event], Awaitable[None]]


class GiveUp(Exception):
    """Error that ends the process with one line, for a person to read and act on."""


class DrainTimedOut(Exception):
    """Outcome of a drain that ended what had not ended by itself; raised once that is done and logged."""


def main[S: Settings](
    cls: type[S],
    serve: Callable[[S], tuple[Serve, float]],
    *,
    read: Callable[[], S] | None = None,
    cleanup_s: float = CLEANUP_S,
) -> int:
    """Load the settings, run what `serve` makes of them, and return the exit code.

    Args:
        cls: the settings of the process.
        serve: returns the coroutine function to run, and the seconds its drain may take.
        read: reads the settings, where they come not from the environment alone.
        cleanup_s: for what comes after the drain, which may cut connections but ends in order.
    """
    early = _EarlySignals()
    try:
        settings = load(cls) if read is None else read()
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201 there is no log before there are settings
        return EXIT_SETTINGS
    _raise_descriptor_limit()
    work, drain_s = serve(settings)
    logs.capture_uncaught()
    return run(work, drain_s=drain_s, cleanup_s=cleanup_s, early=early)


async def wait_first(*events: asyncio.Event) -> None:
    """Wait until one of these is set."""
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(event.wait()) for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def run(
    serve: Serve,
    *,
    drain_s: float,
    cleanup_s: float = CLEANUP_S,
    early: "_EarlySignals | None" = None,
) -> int:
    """Run `serve` until it returns, and return the process's exit code.

    The first SIGTERM or SIGINT sets the event that `serve` gets; from then on it has `drain_s`
    seconds to drain, and `cleanup_s` to end. A second one cancels it.
    """
    try:
        return asyncio.run(_Run(drain_s, cleanup_s, early).execute(serve), loop_factory=EventLoop)
    except (SettingsError, SecretFileError) as error:
        print(error, file=sys.stderr)  # noqa: T201 one line that a person can act on
        return EXIT_SETTINGS


def _raise_descriptor_limit() -> None:
    """Raise the soft limit on descriptors: each client takes one, and it is often 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _EarlySignals:
    """Signals that came before there was a loop to handle them."""

    def __init__(self) -> None:
        self.came: list[signal.Signals] = []
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.came.append(signal.Signals(number))


class _Run:
    """Run of one coroutine function under the signals that end it."""

    def __init__(
        self, drain_s: float, cleanup_s: float, early: _EarlySignals | None = None
    ) -> None:
        self._drain_s = drain_s
        self._cleanup_s = cleanup_s
        self._early = early
        self._stopping = asyncio.Event()
        self._ended_by: int | None = None
        self._task: asyncio.Task[object] | None = None

    async def execute(self, serve: Serve) -> int:
        """Run `serve` and return the exit code; from then on a signal ends the process with it."""
        self._task = asyncio.current_task()
        exit_code = EXIT_FAILED
        with handle_signals(_SIGNALS, self._on_signal):
            for number in self._early.came if self._early else ():
                self._on_signal(number)
            try:
                exit_code = await self._serve(serve)
            finally:
                _end_at_next_signal(exit_code)
        return exit_code

    async def _serve(self, serve: Serve) -> int:
        try:
            await serve(self._stopping)
        except asyncio.CancelledError:
            log.warning("process.cancelled", exit_code=self._ended_by)
            return EXIT_FAILED if self._ended_by is None else self._ended_by
        except DrainTimedOut:
            return EXIT_UNAVAILABLE
        except Exception as error:  # noqa: BLE001 the top of the process: it is logged, and ends it
            return _report_failure(error)
        return EXIT_OK

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._cancel(EXIT_FAILED)
            return
        log.info("process.stop_requested", signal=number.name, drain_s=self._drain_s)
        self._stopping.set()
        deadline_s = self._drain_s + self._cleanup_s
        asyncio.get_running_loop().call_later(deadline_s, self._cancel, EXIT_UNAVAILABLE)

    def _cancel(self, exit_code: int) -> None:
        if self._ended_by is None and self._task is not None:
            self._ended_by = exit_code
            self._task.cancel()


def _end_at_next_signal(exit_code: int) -> None:
    """Let a signal that comes now end the process with its own exit code, and not with the signal's."""

    def end(_number: int, _frame: object) -> None:
        os._exit(exit_code)

    for number in _SIGNALS:
        signal.signal(number, end)
    atexit.register(
        ignore_signals, _SIGNALS
    )  # Python takes its handlers away before the process ends


def _report_failure(error: BaseException) -> int:
    """Log what went wrong, in one line if a person can act on it, and return the exit code."""
    single = _unwrap_group(error)
    if isinstance(single, (SettingsError, SecretFileError)):
        raise single from None
    if isinstance(single, GiveUp):
        log.error("process.gave_up", reason=describe_error(single))
    elif isinstance(single, OSError) and not isinstance(error, BaseExceptionGroup):
        log.error("process.failed", reason=describe_error(single))
    else:
        log.error("process.crashed", exc_info=error)
    return EXIT_FAILED


def _unwrap_group(error: BaseException) -> BaseException:
    """Return the error inside groups of one; a group of several is returned as it is."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    inner = group.exceptions
    return _unwrap_group(inner[0]) if len(inner) == 1 else group
