"""Stability of a worker: whether it ends again and again, and whether its process lasts now.

One that ends once is replaced at once, and nobody has to look. One that ended three times within five
minutes has a cause that does not go away: it is unstable until its third last end is that long ago. While
it is, it fails until its process has lasted for half a minute.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class StabilityLimits:
    """Limits of stability, in seconds.

    Args:
        ends: so many of them make a worker unstable,
        within_s: if they are no longer apart.
        lasting_s: after which a process has not ended at its start.
    """

    ends: int = 3
    within_s: float = 300.0
    lasting_s: float = 30.0


DEFAULT_LIMITS: Final = StabilityLimits()


class WorkerStability:
    """Stability of one worker, whose process may be replaced."""

    def __init__(self, limits: StabilityLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._ends = deque[float](maxlen=limits.ends)
        self._started_at: float | None = None

    def note_start(self, now: float) -> None:
        """Note that a process of it began."""
        self._started_at = now

    def note_end(self, now: float) -> None:
        """Note that its process ended, or could not be started."""
        self._started_at = None
        self._ends.append(now)

    def is_unstable(self, now: float) -> bool:
        """Return whether it ends again and again."""
        return len(self._ends) == self._limits.ends and now < self._ends[0] + self._limits.within_s

    def is_failing(self, now: float) -> bool:
        """Return whether it is unstable, and no process of it lasts."""
        lasts_at = self._find_lasting()
        return self.is_unstable(now) and (lasts_at is None or now < lasts_at)

    def find_change(self, now: float) -> float | None:
        """Return when either answer changes by time alone; None where it does not."""
        if not self.is_unstable(now):
            return None
        moments = [self._ends[0] + self._limits.within_s]
        lasts_at = self._find_lasting()
        if lasts_at is not None and now < lasts_at:
            moments.append(lasts_at)
        return min(moments)

    def _find_lasting(self) -> float | None:
        started_at = self._started_at
        return None if started_at is None else started_at + self._limits.lasting_s
