"""Rate limit that several processes keep together: a token bucket, from which each takes what others use, too.

A bucket may be overdrawn: what was begun is carried to its end, and waited for afterwards.
"""

from typing import Protocol


class SharedUse(Protocol):
    """Use of one limit in all processes."""

    def add(self, count: int) -> None:
        """Tell the others of use here."""
        ...

    def take_elsewhere(self) -> int:
        """Return the use by others since the last call."""
        ...


class RateLimit:
    """Rate limit, with a full bucket at first.

    Args:
        per_s: tokens that come back in a second.
        burst: tokens that the bucket holds.
        now: seconds, monotonic.
        shared: use by other processes, if there are any.
    """

    def __init__(
        self, per_s: float, burst: float, now: float, shared: SharedUse | None = None
    ) -> None:
        self._per_s = per_s
        self._burst = self._tokens = burst
        self._filled_at = now
        self._shared = shared

    def change(self, per_s: float, burst: float, now: float) -> None:
        """Use another rate from now on."""
        self._refill(now)
        self._per_s, self._burst = per_s, burst
        self._tokens = min(self._tokens, burst)

    def has(self, count: float, now: float) -> bool:
        """Whether so many tokens are there."""
        self._refill(now)
        return self._tokens >= count

    def spend(self, count: int) -> None:
        """Take tokens, whether they are there or not."""
        self._tokens -= count
        if self._shared is not None:
            self._shared.add(count)

    def wait_s(self, count: float, now: float) -> float:
        """Return in how many seconds so many tokens are there, if nobody takes any; 0 if they are now."""
        self._refill(now)
        return max(0.0, (count - self._tokens) / self._per_s)

    def _refill(self, now: float) -> None:
        if now <= self._filled_at:
            return
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._shared is not None:
            self._tokens -= self._shared.take_elsewhere()
