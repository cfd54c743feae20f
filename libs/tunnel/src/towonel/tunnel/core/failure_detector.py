"""Failure detector: for how long a peer has owed the answer to a ping."""


class FailureDetector:
    """Detector that remembers the first ping without an answer; whatever the peer sends is one.

    Times are in seconds on a monotonic clock. While a ping is unanswered no other is needed: the
    age of the first is what counts.
    """

    def __init__(self) -> None:
        self._pinged_at = float("-inf")

    def record_ping(self, at: float) -> None:
        """Note a ping that `needs_ping` asked for."""
        self._pinged_at = at

    def needs_ping(self, last_received_at: float) -> bool:
        """Whether every ping so far is answered, or there was none."""
        return last_received_at >= self._pinged_at

    def unanswered_s(self, last_received_at: float, now: float) -> float:
        """Return the age of the first unanswered ping; 0 where there is none."""
        return 0.0 if self.needs_ping(last_received_at) else now - self._pinged_at
