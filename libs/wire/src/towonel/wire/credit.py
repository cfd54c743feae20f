"""Credit-based flow control: bounds the bytes that the receiving application has not read yet.

QUIC's own windows follow what was received, so a reader that sleeps would not slow its sender. A
receiver therefore announces absolute limits of its own, and a sender stays below them.

    0        consumed        received         limit
    |-- read --|---- unread ----|--- may come ---|
               |<----------- window ------------>|
"""

from towonel.wire.errors import Code, ProtocolError

STREAM_WINDOW_BYTES = 256 * 1024
MAX_STREAM_WINDOW_BYTES = 8 * 1024 * 1024  # 100 ms at 640 Mbit/s
SESSION_WINDOW_BYTES = 64 * 1024 * 1024
_FAST_ROUND_TRIPS = 2  # a window that is used up sooner than this is what limits the sender


class ReceiveCredit:
    """Credit that a receiver grants: the limit on what may come, and when to raise it."""

    def __init__(self, window: int, maximum: int) -> None:
        self._window = window
        self._maximum = maximum
        self._received = 0
        self._consumed = 0
        self._announced_at: float | None = None
        self.limit = window

    @property
    def unread(self) -> int:
        """Bytes that arrived and that the application has not read."""
        return self._received - self._consumed

    def receive(self, count: int) -> None:
        """Count bytes that arrived.

        Raises:
            ProtocolError: FLOW_CONTROL if they pass the announced limit.
        """
        if self._received + count > self.limit:
            over = self._received + count - self.limit
            raise ProtocolError(Code.FLOW_CONTROL, f"{over} bytes beyond the limit {self.limit}")
        self._received += count

    def consume(self, count: int, now: float, rtt_s: float) -> int | None:
        """Count bytes the application has read, and return the new limit if it is to be announced.

        It is once half of the window was read. If two announcements come within two round trips,
        the window is what limits the sender, and doubles up to its maximum.
        """
        assert count <= self.unread, "nothing can be read that did not arrive"
        self._consumed += count
        if self.limit - self._consumed > self._window // 2:
            return None
        if self._announced_at is not None:
            fast = now - self._announced_at < _FAST_ROUND_TRIPS * rtt_s
            self._window = min(self._window * 2, self._maximum) if fast else self._window
        self._announced_at = now
        self.limit = self._consumed + self._window
        return self.limit


class SendCredit:
    """Credit that a sender has: how much may still be sent.

    Args:
        limit: at first.
        maximum: the window of a receiver that announces it; none is larger.
    """

    def __init__(self, limit: int, maximum: int) -> None:
        self._limit = limit
        self._maximum = maximum
        self.sent = 0

    @property
    def available(self) -> int:
        """Bytes that may be sent now."""
        return self._limit - self.sent

    def spend(self, count: int) -> None:
        """Count bytes that are sent, which must be available."""
        assert count <= self.available, "a sender looks at its credit before it sends"
        self.sent += count

    def grant(self, limit: int) -> None:
        """Take an announced limit; a lower one than before is ignored.

        Raises:
            ProtocolError: FLOW_CONTROL for more than a receiver may grant: it has read no more than
                was sent, and its window has a maximum.
        """
        if limit > self.sent + self._maximum:
            detail = f"limit {limit} after {self.sent} bytes, with a window of {self._maximum}"
            raise ProtocolError(Code.FLOW_CONTROL, detail)
        self._limit = max(self._limit, limit)
