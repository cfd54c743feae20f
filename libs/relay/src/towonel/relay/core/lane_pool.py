"""Size of a session's pool of lanes, and how long clients and dials wait.

    wanted = in use + waiting + idle target
    idle target = max(2, workers, a quarter of those in use, growth in 3 round trips),  at most 512

Lanes in use are as many as clients are admitted: those that are idle, or being opened, are what a pool
could have too many of. Each worker wants its part of them, at least one idle lane.

It grows at once and in steps, so that not every client costs a message to the agent, and shrinks when
no more was needed for 60 s at least, but for idle lanes above their limit.
"""

from math import ceil
from typing import Final

MAX_IDLE: Final = 512  # a link, with those being opened; carrier NATs have quotas
LEAST_IDLE: Final = 2
SHRINK_S: Final = 60.0
SURPLUS_S: Final = 5.0  # between the agent's hearing that fewer are wanted and the end of those
_STEP: Final = 8  # or an eighth of the lanes, where that is more
_ROUND_TRIPS: Final = 3
_MIN_RATE_S: Final = 0.05  # over less time than this a rate is chance
_MAX_REPORTED_FAILURES: Final = 3


class LanePool:
    """Size of the pool of one session.

    Args:
        workers: that have a pool of the session.
        now: in seconds.

    Attributes:
        wanted: lanes in all.
    """

    def __init__(self, workers: int, now: float) -> None:
        self._least = ceil(max(LEAST_IDLE, workers) / workers)
        self._most = ceil(MAX_IDLE / workers)
        self._needed = 0  # when growth was looked at
        self.wanted = self._least
        self._wanted_elsewhere = 0
        self._updated = self._window_began = self._changed = now
        self._peak = self._peak_before = (
            self._least
        )  # of what was needed in this window and the last

    def update(self, *, in_use: int, waiting: int, rtt_s: float, now: float) -> bool:
        """Look at the demand, and return whether `wanted` has changed."""
        needed = in_use + waiting
        idle = max(self._least, ceil(in_use / 4), self._count_expected(needed, rtt_s, now))
        self._turn_window(now)
        self._peak = max(self._peak, _round_up(needed + min(idle, self._most)))
        wanted = min(max(self._peak, self._peak_before), _round_up(needed + self._most))
        if wanted == self.wanted:
            return False
        self.wanted, self._changed = wanted, now
        return True

    def is_settled(self, wanted_elsewhere: int, now: float) -> bool:
        """Return whether the agent knows what is wanted in all, so that lanes beyond that are too many."""
        if wanted_elsewhere != self._wanted_elsewhere:
            self._wanted_elsewhere, self._changed = wanted_elsewhere, now
        return now - self._changed >= SURPLUS_S

    def _count_expected(self, needed: int, rtt_s: float, now: float) -> int:
        """Return how many more lanes are needed by the time that a new one is there.

        Clients that come and go leave as many lanes as they take: their rate says nothing.
        """
        passed_s = now - self._updated
        if passed_s < _MIN_RATE_S:
            return 0
        rate = max(0, needed - self._needed) / passed_s
        self._needed, self._updated = needed, now
        return ceil(rate * _ROUND_TRIPS * rtt_s)

    def _turn_window(self, now: float) -> None:
        passed_s = now - self._window_began
        if passed_s >= SHRINK_S:
            self._peak_before = self._peak if passed_s < 2 * SHRINK_S else self._least
            self._peak = self._least
            self._window_began = now


def lane_wait_s(rtt_s: float) -> float:
    """Return how long a client waits for a lane: what a new one takes, 100 ms to 1 s."""
    return min(1.0, max(0.1, _ROUND_TRIPS * rtt_s + 0.05))


def redial_after_s(failures: int, draw: float) -> float:
    """Return how long to wait after so many failed admissions in a row.

    The first ones may be chance: half a second, one. From the third on, when streams have taken over, 1 to
    10 minutes.

    Args:
        failures: at least 1.
        draw: from 0 to 1, so that lanes do not come back all at once.
    """
    if failures < _MAX_REPORTED_FAILURES:
        base_s = 0.25 * 2.0**failures
    else:
        base_s = min(480.0, 60.0 * 2.0 ** min(failures - _MAX_REPORTED_FAILURES, 8))
    return base_s * (1 + draw / 4)


def _round_up(lanes: int) -> int:
    step = max(_STEP, 1 << max(0, lanes.bit_length() - 4))
    return lanes if lanes <= _STEP else -(-lanes // step) * step
