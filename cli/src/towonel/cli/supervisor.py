"""Supervisor of programs that live and end together, as hub and edge of one box do.

signal 1            ─▶ passed on to all; they drain          ─▶ 0, or the first failure's code
signal 2            ─▶ passed on to all; they end at once
one ends unasked    ─▶ SIGTERM to the others                 ─▶ its code; 1 where that is 0
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from towonel.cli.subprocesses import Program, handle_signals, start
from towonel.runtime.exit_codes import EXIT_SETTINGS

_KILLED_BY = 128  # a shell's exit code for death by signal n is 128 + n

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits of programs that end.

    Args:
        drain_s: after a first signal.
        overtime_s: beyond that; then a program is stuck, and is killed.
        kill_after_s: after a second signal.
        settings_grace_s: after wrong settings of another, to report those of its own.
    """

    drain_s: float
    overtime_s: float = 15.0
    kill_after_s: float = 5.0
    settings_grace_s: float = 1.0


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
                    await group.start(program, tasks)
        finally:
            group.signal_all(signal.SIGKILL)
    return group.exit_code


@dataclass(slots=True)
class _ProgramGroup:
    timing: Timing
    exit_code: int = 0
    is_stopping: bool = False
    running: dict[str, asyncio.subprocess.Process] = field(
        default_factory=dict[str, asyncio.subprocess.Process]
    )

    async def start(self, program: Program, tasks: asyncio.TaskGroup) -> None:
        if self.is_stopping:
            return
        process = await start(program, sys.stderr.fileno())
        self.running[program.name] = process
        tasks.create_task(self._watch(program.name, process))
        log.info("program.started", program=program.name, pid=process.pid)

    def on_signal(self, number: signal.Signals) -> None:
        log.info("signal.forwarded", signal=number.name, programs=sorted(self.running))
        self._stop(signal.SIGTERM if number is signal.SIGHUP else number)

    def signal_all(self, number: signal.Signals) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        if self.is_stopping:  # a signal came while it was being started
            process.terminate()
        code = await process.wait()
        del self.running[name]
        exit_code = self.exit_code_of(code)
        self.exit_code = self.exit_code or exit_code
        if self.is_stopping:
            log.info("program.ended", program=name, exit_code=exit_code)
            return
        log.error("program.failed", program=name, exit_code=exit_code)
        grace_s = self.timing.settings_grace_s if exit_code == EXIT_SETTINGS else 0.0
        asyncio.get_running_loop().call_later(grace_s, self._stop_unless_stopping)

    def _stop_unless_stopping(self) -> None:
        if not self.is_stopping:
            self._stop(signal.SIGTERM)

    def exit_code_of(self, code: int) -> int:
        if self.is_stopping and -code in {signal.SIGTERM, signal.SIGINT}:
            return 0  # it was stopped before it had installed its handlers: nothing was lost
        if code < 0:
            return _KILLED_BY - code
        return code if code or self.is_stopping else 1

    def _stop(self, number: signal.Signals) -> None:
        timing = self.timing
        limit_s = timing.kill_after_s if self.is_stopping else timing.drain_s + timing.overtime_s
        self.is_stopping = True
        self.signal_all(number)
        asyncio.get_running_loop().call_later(limit_s, self.signal_all, signal.SIGKILL)
