"""Keepalive: when to ping a peer, and when one that does not answer is given up.

A connection without streams is only kept: a ping now and then for the sake of NAT bindings, and the
idle timeout of QUIC. With streams somebody waits, so that a peer without an answer is dead soon.
"""

from enum import Enum, auto

from towonel.tunnel.core.failure_detector import FailureDetector
from towonel.tunnel.core.timing import Timing

LATE_S = 1.0  # a check this late means that this process was held up, and answers lie unread


class Action(Enum):
    """Action that a check asks for."""

    NONE = auto()
    PING = auto()
    GIVE_UP = auto()


class Keepalive:
    """Decides at each check what to do, and when to check again.

    Args:
        detector: of the connection's pings.
        keepalive_s: without a packet of the peer, until it is pinged.
        timing: `probe_s` and `dead_s`, which count in its place while there are streams.
        now: seconds, monotonic.
    """

    def __init__(
        self, detector: FailureDetector, keepalive_s: float, timing: Timing, now: float
    ) -> None:
        self._detector = detector
        self._keepalive_s = keepalive_s
        self._probe_s = timing.probe_s
        self._dead_s = timing.dead_s
        self.next_at = now + keepalive_s

    def hasten(self, now: float) -> bool:
        """Check within `probe_s`, for a stream was opened; return whether that is sooner."""
        is_sooner = now + self._probe_s < self.next_at
        if is_sooner:
            self.next_at = now + self._probe_s
        return is_sooner

    def check(self, now: float, last_received_at: float, *, has_streams: bool) -> Action:
        """Return what is to be done now, and set `next_at`."""
        is_late = now - self.next_at > LATE_S
        pause_s = self._probe_s if has_streams else self._keepalive_s
        unanswered_s = self._detector.unanswered_s(last_received_at, now)
        if unanswered_s and is_late:
            self._detector.record_ping(now)
            unanswered_s = 0.0
        self.next_at = now + pause_s
        if has_streams and unanswered_s >= self._dead_s:
            return Action.GIVE_UP
        if self._detector.needs_ping(last_received_at):
            return self._ping_if_quiet(now, last_received_at + pause_s)
        if has_streams:
            self.next_at = now + self._dead_s - unanswered_s
        return Action.NONE

    def _ping_if_quiet(self, now: float, due: float) -> Action:
        if now < due:
            self.next_at = due
            return Action.NONE
        return Action.PING
