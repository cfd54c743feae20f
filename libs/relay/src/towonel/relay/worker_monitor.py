"""Monitor of a data plane's workers: while one ends again and again, the process says `degraded`."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from towonel.relay.core.worker_stability import DEFAULT_LIMITS, StabilityLimits, WorkerStability
from towonel.runtime.admin import Health

CHECK: Final = "workers"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass
class WorkerMonitor:
    """Monitor of workers, by number.

    Args:
        health: says which of them end again and again.
        workers: how many there are.
        are_needed: whether the process is not ready while all of them fail.
        limits: what counts as again and again.

    Attributes:
        unstable: workers that end again and again.
    """

    health: Health
    workers: int
    are_needed: bool
    limits: StabilityLimits = DEFAULT_LIMITS
    unstable: int = 0
    _reason: str = ""
    _change: asyncio.TimerHandle | None = None
    _all: list[WorkerStability] = field(init=False)

    def __post_init__(self) -> None:
        self._all = [WorkerStability(self.limits) for _ in range(self.workers)]

    def note_start(self, number: int) -> None:
        """Note that a process of a worker began."""
        self._all[number].note_start(_now())
        self._update()

    def note_end(self, number: int, reason: str) -> None:
        """Note that the process of a worker ended, or could not be started, and why."""
        self._all[number].note_end(_now())
        self._reason = reason
        self._update()

    def close(self) -> None:
        """Look after the workers no more."""
        if self._change is not None:
            self._change.cancel()

    def _update(self) -> None:
        now = _now()
        before, self.unstable = self.unstable, sum(each.is_unstable(now) for each in self._all)
        failing = sum(each.is_failing(now) for each in self._all)
        self._show(is_failing=self.are_needed and failing == self.workers)
        if self.unstable > before:
            log.error(
                "workers.degraded",
                unstable=self.unstable,
                workers=self.workers,
                reason=self._reason,
            )
        elif before and not self.unstable:
            log.info("workers.recovered", workers=self.workers)
        self._look_again(now)

    def _show(self, *, is_failing: bool) -> None:
        reason = (
            f"{self.unstable} of {self.workers} workers keep ending, and their clients are reset: "
            f"{self._reason}"
        )
        self.health.set(CHECK, ok=not is_failing, reason=reason)
        self.health.set_degraded(CHECK, reason=reason if self.unstable else None)

    def _look_again(self, now: float) -> None:
        self.close()
        moments = [at for each in self._all if (at := each.find_change(now)) is not None]
        loop = asyncio.get_running_loop()
        self._change = loop.call_at(min(moments), self._update) if moments else None


def _now() -> float:
    return asyncio.get_running_loop().time()
