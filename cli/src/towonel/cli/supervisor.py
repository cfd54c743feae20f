"""Supervisor of programs of one box, as hub and edge are: one that ends is started again.

signal 1                    ─▶ passed on to all; they drain      ─▶ 0, or the first failure's code
signal 2                    ─▶ passed on to all; they end at once
one ends unasked            ─▶ started again after a pause that doubles; the others go on
one ends with 78 at first   ─▶ SIGTERM to the others             ─▶ 78
one ends with 78 later      ─▶ the same as unasked, ten times in a row; then it stays down
all stay down               ─▶ 78

The first 78 is a mistake in the settings that somebody made just now, and should see. A later one may
pass, as of a Postgres whose password is being changed; but wrong settings do not get right by trying.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import SystemRandom

import structlog

from towonel.cli.subprocesses import Program, handle_signals, start
from towonel.runtime.backoff import Backoff
from towonel.runtime.exit_codes import EXIT_FAILED, EXIT_SETTINGS
from towonel.runtime.logs import describe_error

_KILLED_BY = 128  # a shell's exit code for death by signal n is 128 + n

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits of programs that end, and pauses before they are started again.

    Args:
        drain_s: after a first signal.
        overtime_s: beyond that; then a program is stuck, and is killed.
        kill_after_s: after a second signal.
        settings_grace_s: after wrong settings of another, to report those of its own.
        first_pause_s: before the first restart.
        max_pause_s: between restarts, at most.
        healthy_s: a program that ran for so long was a success: the next restart is a first one.
        settings_tries: restarts in a row that may end with wrong settings.
    """

    drain_s: float
    overtime_s: float = 15.0
    kill_after_s: float = 5.0
    settings_grace_s: float = 1.0
    first_pause_s: float = 1.0
    max_pause_s: float = 60.0
    healthy_s: float = 60.0
    settings_tries: int = 10


async def supervise(programs: Sequence[Program], timing: Timing) -> int:
    """Run programs until all have ended, and return the exit code for the whole.

    Their output goes to our standard error as it is.

    Args:
        programs: started in this order.
        timing: how long they get in which to end.
    """
    group = _ProgramGroup(timing)
    with handle_signals(group.on_signal):
        try:
            async with asyncio.TaskGroup() as tasks:
                for program in programs:
                    process = await group.start(program)
                    tasks.create_task(group.keep_running(program, process))
        finally:
            group.signal_all(signal.SIGKILL)
    return group.exit_code


class _Restarts:
    """Restarts of one program: the pause before the next one, or none where it stays down."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._backoff = Backoff(timing.first_pause_s, timing.max_pause_s, timing.healthy_s)
        self._rng = SystemRandom()
        self._settings_failures = 0
        self.count = 0

    def next_pause(self, exit_code: int, lasted_s: float) -> float | None:
        """Return the seconds before the program is started again, or None: it stays down."""
        is_wrong = exit_code == EXIT_SETTINGS
        if not is_wrong or lasted_s >= self._timing.healthy_s:
            self._settings_failures = 0
        self._settings_failures += is_wrong
        allowed = self._timing.settings_tries if self.count else 1
        if is_wrong and self._settings_failures >= allowed:
            return None
        self.count += 1
        self._backoff.record_success(lasted_s)
        return self._backoff.next_delay(self._rng)


@dataclass(slots=True)
class _ProgramGroup:
    timing: Timing
    exit_code: int = 0
    running: dict[str, asyncio.subprocess.Process] = field(
        default_factory=dict[str, asyncio.subprocess.Process]
    )
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, program: Program) -> asyncio.subprocess.Process | None:
        """Start a program, unless all are to end."""
        if self.stopping.is_set():
            return None
        process = await start(program, sys.stderr.fileno())
        self.running[program.name] = process
        log.info("program.started", program=program.name, pid=process.pid)
        if self.stopping.is_set():  # a signal came while it was being started
            process.terminate()
        return process

    async def keep_running(
        self, program: Program, process: asyncio.subprocess.Process | None
    ) -> None:
        """Start a program again whenever it ends unasked, until all are to end or it stays down."""
        clock, restarts, exit_code = asyncio.get_running_loop().time, _Restarts(self.timing), 0
        while process is not None:
            started_s = clock()
            code = await process.wait()
            del self.running[program.name]
            exit_code = self.exit_code_of(code)
            if self.stopping.is_set():
                log.info("program.ended", program=program.name, exit_code=exit_code)
                break
            pause_s = restarts.next_pause(exit_code, clock() - started_s)
            if pause_s is None:
                self._give_up(program, exit_code, is_first=not restarts.count)
                break
            log.error("program.failed", program=program.name, exit_code=exit_code, retry_s=pause_s)
            process = await self._restart(program, pause_s)
        self.exit_code = self.exit_code or exit_code

    async def _restart(self, program: Program, pause_s: float) -> asyncio.subprocess.Process | None:
        """Start a program after a pause, and again while the system has no room for it."""
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self.stopping.wait()
            try:
                return await self.start(program)
            except OSError as error:
                reason = describe_error(error)
                log.warning("program.start_failed", program=program.name, reason=reason)
        return None

    def _give_up(self, program: Program, exit_code: int, *, is_first: bool) -> None:
        log.error("program.given_up", program=program.name, exit_code=exit_code)
        if is_first:
            grace_s = self.timing.settings_grace_s
            asyncio.get_running_loop().call_later(grace_s, self._stop_unless_stopping)

    def on_signal(self, number: signal.Signals) -> None:
        log.info("signal.forwarded", signal=number.name, programs=sorted(self.running))
        self._stop(signal.SIGTERM if number is signal.SIGHUP else number)

    def signal_all(self, number: signal.Signals) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _stop_unless_stopping(self) -> None:
        if not self.stopping.is_set():
            self._stop(signal.SIGTERM)

    def exit_code_of(self, code: int) -> int:
        is_stopping = self.stopping.is_set()
        if is_stopping and -code in {signal.SIGTERM, signal.SIGINT}:
            return 0  # it was stopped before it had installed its handlers: nothing was lost
        if code < 0:
            return _KILLED_BY - code
        return code if code or is_stopping else EXIT_FAILED

    def _stop(self, number: signal.Signals) -> None:
        timing, is_stopping = self.timing, self.stopping.is_set()
        limit_s = timing.kill_after_s if is_stopping else timing.drain_s + timing.overtime_s
        self.stopping.set()
        self.signal_all(number)
        asyncio.get_running_loop().call_later(limit_s, self.signal_all, signal.SIGKILL)
