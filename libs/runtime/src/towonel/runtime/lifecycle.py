"""Lifecycle of a process: the first signal drains it, the second ends it; and its exit codes.

0   drained and done
1   a failure, or a second signal
75  the drain took longer than it may (EX_TEMPFAIL)
78  the settings are wrong (EX_CONFIG)
"""

import asyncio
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import cast

import structlog

from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_OK, EXIT_SETTINGS, EXIT_UNAVAILABLE
from towonel.runtime.resolver import EventLoop
from towonel.runtime.secretfile import SecretFileError
from towonel.runtime.settings import Settings, SettingsError, load

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = structlog.get_logger()

type Serve = Callable[[asyncio.Event], Awaitable[None]]


class GiveUp(Exception):
    """Error that ends the process with one line, for a person to read and act on."""


def main[S: Settings](cls: type[S], serve: Callable[[S], tuple[Serve, float]]) -> int:
    """Load the settings, run what `serve` makes of them, and return the exit code.

    Args:
        cls: the settings of the process.
        serve: returns the coroutine function to run, and the seconds its drain may take.
    """
    try:
        settings = load(cls)
    except SettingsError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201 there is no log before there are settings
        return EXIT_SETTINGS
    _raise_descriptor_limit()
    work, drain_s = serve(settings)
    return run(work, drain_s=drain_s)


def run(serve: Serve, *, drain_s: float) -> int:
    """Run `serve` until it returns, and return the process's exit code.

    The first SIGTERM or SIGINT sets the event that `serve` gets; from then on it has `drain_s`
    seconds. A second one cancels it.
    """
    try:
        return asyncio.run(_Run(drain_s).execute(serve), loop_factory=EventLoop)
    except (SettingsError, SecretFileError) as error:
        print(error, file=sys.stderr)  # noqa: T201 one line that a person can act on
        return EXIT_SETTINGS


def _raise_descriptor_limit() -> None:
    """Raise the soft limit on descriptors: each client takes one, and it is often 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Run:
    """Run of one coroutine function under the signals that end it."""

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._stopping = asyncio.Event()
        self._ended_by: int | None = None
        self._task: asyncio.Task[object] | None = None

    async def execute(self, serve: Serve) -> int:
        """Run `serve` and return the exit code."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            await serve(self._stopping)
        except asyncio.CancelledError:
            log.warning("process.cancelled", exit_code=self._ended_by)
            return EXIT_FAILED if self._ended_by is None else self._ended_by
        except Exception as error:  # noqa: BLE001 the top of the process: it is logged, and ends it
            return _report_failure(error)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        return EXIT_OK

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._cancel(EXIT_FAILED)
            return
        log.info("process.stop_requested", signal=number.name, drain_s=self._drain_s)
        self._stopping.set()
        asyncio.get_running_loop().call_later(self._drain_s, self._cancel, EXIT_UNAVAILABLE)

    def _cancel(self, exit_code: int) -> None:
        if self._ended_by is None and self._task is not None:
            self._ended_by = exit_code
            self._task.cancel()


def _report_failure(error: BaseException) -> int:
    """Log what went wrong, in one line if a person can act on it, and return the exit code."""
    single = _unwrap_group(error)
    if isinstance(single, (SettingsError, SecretFileError)):
        raise single from None
    if isinstance(single, GiveUp):
        log.error("process.gave_up", reason=str(single))
    elif isinstance(single, OSError) and not isinstance(error, BaseExceptionGroup):
        log.error("process.failed", reason=str(single))
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
