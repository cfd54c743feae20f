"""Programs that live and end together, as hub and edge of one box do.

signal 1            ─▶ passed on to all, who drain           ─▶ 0, or the first failure's code
signal 2            ─▶ passed on to all, who end at once
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

_OVERTIME_S = 15.0  # beyond its own drain deadline a program is stuck
_HURRY_S = 5.0  # after a second signal
_COMPLAINTS_S = 1.0  # after wrong settings: the others may say what is wrong with theirs, too
_KILLED_BY = 128  # a shell's exit code for death by signal n is 128 + n

log = structlog.get_logger()


async def supervise(programs: Sequence[Program], *, drain_s: float) -> int:
    """Run programs until all have ended, and return the exit code for the whole.

    Their output goes to our standard error as it is.

    Args:
        programs: started in this order.
        drain_s: how long any of them may drain after a first signal.
    """
    group = _ProgramGroup(drain_s)
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
    drain_s: float
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
        log.info("programs.signalled", signal=number.name, programs=sorted(self.running))
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
        log.error("program.ended_unasked", program=name, exit_code=exit_code)
        patience_s = _COMPLAINTS_S if exit_code == EXIT_SETTINGS else 0.0
        asyncio.get_running_loop().call_later(patience_s, self._stop_unless_stopping)

    def _stop_unless_stopping(self) -> None:
        if not self.is_stopping:
            self._stop(signal.SIGTERM)

    def exit_code_of(self, code: int) -> int:
        if self.is_stopping and -code in {signal.SIGTERM, signal.SIGINT}:
            return 0  # it was told to end before it could say how: nothing was lost
        if code < 0:
            return _KILLED_BY - code
        return code if code or self.is_stopping else 1

    def _stop(self, number: signal.Signals) -> None:
        limit_s = _HURRY_S if self.is_stopping else self.drain_s + _OVERTIME_S
        self.is_stopping = True
        self.signal_all(number)
        asyncio.get_running_loop().call_later(limit_s, self.signal_all, signal.SIGKILL)
