"""Pings of a connection: when one is needed, and the round trips that their answers measure."""

from collections.abc import Callable

from towonel.tunnel.core.failure_detector import FailureDetector

INITIAL_RTT_S = 0.1  # until the first ping is answered
RTT_WEIGHT = 0.25  # of the newest sample
PING_SPACING_S = 0.1  # pings of many callers at once share one answer
MAX_UNANSWERED = 64  # of a peer that sends, so that it is there, and acknowledges nothing


class Pings:
    """Pings, each with a number that comes back with its acknowledgement.

    Args:
        send: sends a ping.
        detector: is told of each.
    """

    def __init__(self, send: Callable[[int], None], detector: FailureDetector) -> None:
        self._send = send
        self._detector = detector
        self._sent_at: dict[int, float] = {}
        self._number = 0
        self._is_measured = False
        self.rtt_s = INITIAL_RTT_S

    def ask(self, now: float, last_received_at: float) -> None:
        """Ask for a sign of life, unless an earlier ping is still to be answered."""
        if not self._detector.needs_ping(last_received_at):
            return
        latest = self._sent_at.get(self._number)
        if latest is not None and now - latest < PING_SPACING_S:
            self._detector.record_ping(latest)
        elif len(self._sent_at) < MAX_UNANSWERED:
            self._number += 1
            self._sent_at[self._number] = now
            self._detector.record_ping(now)
            self._send(self._number)

    def measure(self, number: int, now: float) -> None:
        """Learn from an acknowledgement."""
        sent_at = self._sent_at.pop(number, None)
        if sent_at is not None:
            weight = RTT_WEIGHT if self._is_measured else 1.0
            self.rtt_s += weight * (now - sent_at - self.rtt_s)
            self._is_measured = True
