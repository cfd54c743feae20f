"""Failure detector: whether a peer that was pinged has been silent since."""


class FailureDetector:
    """Suspects a peer from which nothing came for `silence_s` after a ping.

    Times are in seconds on a monotonic clock. While a ping is unanswered no other is needed: the
    age of the first is what counts.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._pinged_at: float | None = None

    def record_ping(self, at: float) -> None:
        """Note a ping that `needs_ping` asked for."""
        self._pinged_at = at

    def needs_ping(self, last_received_at: float) -> bool:
        """Whether every ping so far is answered, or there was none."""
        return self._pinged_at is None or last_received_at >= self._pinged_at

    def is_silent(self, last_received_at: float, now: float) -> bool:
        """Whether the peer owes a sign of life for too long."""
        if self._pinged_at is None or last_received_at >= self._pinged_at:
            return False
        return now - self._pinged_at >= self._silence_s
