"""Flow-control credit shared by all streams of a session, in both directions."""

from collections.abc import Callable

from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.wire.credit import SESSION_WINDOW_BYTES, ReceiveCredit, SendCredit
from towonel.wire.messages import Abandoned, Message, Window


class SessionCredit:
    """Credit for what may be in flight or unread on a whole session; docs/protocol.md §4.4.

    Args:
        send: sends a message on the control stream.
        clock: seconds, monotonic.
        rtt: the round trip now, in seconds.
        share: in the receive budget of the tenant.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        clock: Callable[[], float],
        rtt: Callable[[], float],
        share: ReceiveShare,
    ) -> None:
        self._send_message = send
        self._clock = clock
        self._rtt = rtt
        self._share = share
        self._receive = ReceiveCredit(SESSION_WINDOW_BYTES, SESSION_WINDOW_BYTES)
        self._send = SendCredit(SESSION_WINDOW_BYTES, SESSION_WINDOW_BYTES)
        self._blocked: dict[int, Callable[[], None]] = {}  # stream id -> wake, oldest first

    @property
    def available(self) -> int:
        """Number of bytes that may be sent now, over all streams."""
        return self._send.available

    @property
    def sent_bytes(self) -> int:
        """Number of bytes that were sent, over all streams."""
        return self._send.sent

    def spend(self, count: int) -> None:
        self._send.spend(count)

    def grant(self, limit: int) -> None:
        """Raise the limit that the peer gave, and wake the stream that is blocked the longest.

        Raises:
            ProtocolError: FLOW_CONTROL, more than a peer may grant.
        """
        self._send.grant(limit)
        self.wake_next()

    def wake_next(self) -> None:
        """Wake the stream that is blocked the longest, where there is credit for it.

        Each calls this once it has taken what it wants: whatever the peer grants, and be it a byte,
        no more streams wake than can send.
        """
        if self._blocked and self._send.available:
            self._blocked.pop(next(iter(self._blocked)))()

    def wake_on_grant(self, stream_id: int, wake: Callable[[], None]) -> None:
        """Call `wake` once when there is credit again; who is woken calls `wake_next`."""
        self._blocked[stream_id] = wake

    def cancel_wake(self, stream_id: int) -> None:
        self._blocked.pop(stream_id, None)

    def receive(self, stream: ReceiveCredit, count: int) -> None:
        """Count bytes that arrived on a stream.

        Raises:
            ProtocolError: FLOW_CONTROL, more than the stream or the session was granted.
        """
        stream.receive(count)
        self._receive.receive(count)
        self._share.take(count)

    def consume(self, stream_id: int, stream: ReceiveCredit | None, count: int) -> None:
        """Announce room for bytes that were read; `stream` is None if no more may come on it."""
        now, rtt_s = self._clock(), self._rtt()
        if stream is not None and (limit := stream.consume(count, now, rtt_s)) is not None:
            self._send_message(Window(stream_id, limit))
        if (limit := self._receive.consume(count, now, rtt_s)) is not None:
            self._send_message(Window(None, limit))
        self._share.release(count)

    def report_abandoned(self, stream_id: int, sent_bytes: int) -> None:
        """Tell the peer where our bytes of a stream that we reset ended."""
        self._send_message(Abandoned(stream_id, sent_bytes))
