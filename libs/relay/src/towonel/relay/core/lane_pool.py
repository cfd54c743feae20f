"""Size of a session's pool of lanes, and how long clients and dials wait.

    wanted = in use + waiting + idle target
    idle target = max(2, workers, a quarter of those in use, growth in 3 round trips),  at most 512

Lanes in use are as many as clients are admitted: those that are idle, or being opened, are what a pool
could have too many of. Each worker wants its part of them, at least one idle lane.

It grows at once and in steps, so that not every client costs a message to the agent, and shrinks when
no more was needed for 60 s at least, but for idle lanes above their limit. That is kept at each moment
of the last seconds, or clients that come and go would have lanes closed and dialed all the time.
"""

from collections.abc import Callable
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


class _Extreme:
    """Highest or lowest of the numbers of this span of time and of the one before.

    Args:
        pick: `max` or `min`.
        span_s: how long a span is.
        value: before the first number.
        now: in seconds.
    """

    def __init__(
        self, pick: Callable[[int, int], int], span_s: float, value: int, now: float
    ) -> None:
        self._pick = pick
        self._span_s = span_s
        self._began = now
        self._this = self._before = value

    def note(self, value: int, now: float) -> int:
        """Take the next number, and return which it is of them all."""
        passed_s = now - self._began
        if passed_s >= self._span_s:
            self._before = self._this if passed_s < 2 * self._span_s else value
            self._this = value
            self._began = now
        self._this = self._pick(self._this, value)
        return self._pick(self._this, self._before)


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
        self._updated = self._changed = now
        self._peak = _Extreme(max, SHRINK_S, self._least, now)
        self._trough = _Extreme(min, SURPLUS_S, 0, now)

    def update(self, *, in_use: int, waiting: int, rtt_s: float, now: float) -> bool:
        """Look at the demand, and return whether `wanted` has changed."""
        needed = in_use + waiting
        idle = max(self._least, ceil(in_use / 4), self._count_expected(needed, rtt_s, now))
        least = _round_up(needed + min(idle, self._most))
        most = max(least, self._trough.note(needed, now) + self._most)
        wanted = min(self._peak.note(least, now), most)
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
