"""The credit that all streams of one connection share, in both directions."""

from collections.abc import Callable

from towonel.wire.credit import SESSION_WINDOW_BYTES, ReceiveCredit, SendCredit
from towonel.wire.messages import Abandoned, Message, Window

Tell = Callable[[Message], None]


class SessionCredit:
    """What may be in flight or unread on a whole session; docs/protocol.md, flow control.

    Args:
        tell: sends a message on the control stream.
        clock: seconds, monotonic.
        rtt: the round trip now, in seconds.
    """

    def __init__(self, tell: Tell, clock: Callable[[], float], rtt: Callable[[], float]) -> None:
        self.tell = tell
        self._clock = clock
        self._rtt = rtt
        self._receive = ReceiveCredit(SESSION_WINDOW_BYTES, SESSION_WINDOW_BYTES)
        self._send = SendCredit(SESSION_WINDOW_BYTES)
        self._blocked: dict[int, Callable[[], None]] = {}  # stream id -> wake, oldest first

    @property
    def available(self) -> int:
        """How many bytes may be sent now, over all streams."""
        return self._send.available

    def spend(self, count: int) -> None:
        self._send.spend(count)

    def grant(self, limit: int) -> None:
        """The peer raised its limit: wake who waits, the oldest first."""
        self._send.grant(limit)
        blocked, self._blocked = self._blocked, {}
        for wake in blocked.values():
            wake()

    def wait(self, stream_id: int, wake: Callable[[], None]) -> None:
        """Call `wake` once when the peer has raised its limit."""
        self._blocked[stream_id] = wake

    def forget(self, stream_id: int) -> None:
        self._blocked.pop(stream_id, None)

    def received(self, stream: ReceiveCredit, count: int) -> None:
        """Count bytes that arrived on a stream.

        Raises:
            ProtocolError: FLOW_CONTROL, more than the stream or the session was granted.
        """
        stream.received(count)
        self._receive.received(count)

    def consumed(self, stream_id: int, stream: ReceiveCredit | None, count: int) -> None:
        """Announce room for bytes that were read; `stream` is None where no more may come."""
        now, rtt_s = self._clock(), self._rtt()
        if stream is not None and (limit := stream.consumed(count, now, rtt_s)) is not None:
            self.tell(Window(stream_id, limit))
        if (limit := self._receive.consumed(count, now, rtt_s)) is not None:
            self.tell(Window(None, limit))

    def abandoned(self, stream_id: int, sent_bytes: int) -> None:
        """Tell the peer where our bytes of a stream that we reset ended."""
        self.tell(Abandoned(stream_id, sent_bytes))
