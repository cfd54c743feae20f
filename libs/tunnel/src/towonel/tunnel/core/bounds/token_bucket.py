"""Token bucket: so many at once, and so many a second."""


class TokenBucket:
    """Token bucket, full at first.

    Args:
        per_s: tokens that come back in a second.
        burst: tokens that it holds at most.
        now: seconds, monotonic.
    """

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._filled_at = now

    def add(self, count: float) -> None:
        """Put tokens in; what does not fit is lost."""
        self._tokens = min(self._burst, self._tokens + count)

    def is_full(self, now: float) -> bool:
        """Return whether nothing is missing."""
        self._refill(now)
        return self._tokens >= self._burst

    def take(self, now: float, count: int = 1) -> bool:
        """Take so many tokens, or none and return False where there are not as many."""
        self._refill(now)
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def _refill(self, now: float) -> None:
        self.add((now - self._filled_at) * self._per_s)
        self._filled_at = now
