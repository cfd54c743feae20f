"""Table of the streams of a connection: by id, so that what arrives finds its stream."""

from collections import OrderedDict
from collections.abc import Callable

from towonel.tunnel.core.bounds.message_budget import MessageBudget
from towonel.tunnel.core.stream_ids import CONTROL_STREAM, SeenStreams
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream import Stream
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code, ProtocolError, Unavailable
from towonel.wire.messages import Abandoned, Window

MAX_STREAMS = 1024  # at once on a session; each costs aioquic time on every packet it builds
MAX_RECENTLY_CLOSED = 2048  # ended streams whose byte counts a late STOP_SENDING may still ask for
EDGE_BIDIRECTIONAL = 1  # the low two bits of a stream id; RFC 9000 §2.1


class Streams:
    """Streams of a connection, each until both its directions have ended.

    Args:
        connection: that carries them.
        session_credit: that they share.
        messages: budget of the peer's, which grows with each stream.
        on_stream: takes a stream that the peer opened; None at the edge, which opens them all.
    """

    def __init__(
        self,
        connection: Transport,
        session_credit: SessionCredit,
        messages: MessageBudget,
        on_stream: Callable[[Stream], None] | None = None,
    ) -> None:
        self._connection = connection
        self._session_credit = session_credit
        self._messages = messages
        self._on_stream = on_stream
        self._seen = SeenStreams()
        self._open: dict[int, Stream] = {}
        self._recently_closed: OrderedDict[int, int] = OrderedDict()  # stream id -> bytes we sent
        self._failure: Code | None = None

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self) -> Stream:
        """Open a stream.

        Raises:
            Unavailable: OVERLOADED at `MAX_STREAMS`, or how the connection ended.
        """
        if self._failure is not None:
            raise Unavailable(self._failure, "the session has ended")
        if self.count >= MAX_STREAMS or not self._connection.has_room_for_stream:
            raise Unavailable(Code.OVERLOADED, f"{MAX_STREAMS} streams")
        stream_id = self._connection.new_stream_id()
        self._connection.send(stream_id, b"")  # takes the id; nothing is sent for it
        return self._add(stream_id)

    def receive(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        """Hand over bytes that arrived.

        Raises:
            ProtocolError: FLOW_CONTROL, or UNEXPECTED_MESSAGE on a stream that may not be.
        """
        if stream := self._find(stream_id):
            stream.receive_side.receive(data, is_end=is_end)
            self._forget_if_over(stream)

    def receive_reset(self, stream_id: int, code: Code) -> None:
        """Handle RESET_STREAM: the peer ended its side of a stream early.

        Raises:
            ProtocolError: as `receive`.
        """
        if stream := self._find(stream_id):
            stream.receive_side.receive_reset(code)
            self._forget_if_over(stream)

    def receive_stop(self, stream_id: int, code: Code) -> None:
        """Handle STOP_SENDING: the peer reads no more of a stream; aioquic has reset our side.

        Raises:
            ProtocolError: as `receive`.
        """
        if stream := self._find(stream_id):
            stream.send_side.reset(code)
            self._forget_if_over(stream)
        elif (sent_bytes := self._recently_closed.pop(stream_id, None)) is not None:
            self._session_credit.report_abandoned(stream_id, sent_bytes)

    def receive_window(self, message: Window) -> None:
        """Handle Window: the peer has read, and more may be sent.

        Raises:
            ProtocolError: as `receive`.
        """
        if message.stream_id is None:
            self._session_credit.grant(message.limit)
        elif stream := self._find(message.stream_id):
            stream.send_side.grant(message.limit)

    def receive_abandoned(self, message: Abandoned) -> None:
        """Handle Abandoned: how many bytes the peer counted on a stream that it reset.

        Raises:
            ProtocolError: as `receive`.
        """
        if stream := self._find(message.stream_id):
            stream.receive_side.receive_abandoned(message.sent_bytes)
            self._forget_if_over(stream)

    def fail(self, code: Code) -> None:
        """End every stream: the connection is gone."""
        self._failure = code
        streams, self._open = self._open, {}
        for stream in streams.values():
            stream.fail(code)

    def _forget_if_over(self, stream: Stream) -> None:
        """Forget a stream that is over, but for its count of bytes."""
        if stream.is_over and self._open.pop(stream.stream_id, None) is not None:
            self._recently_closed[stream.stream_id] = stream.send_side.sent_bytes
            if len(self._recently_closed) > MAX_RECENTLY_CLOSED:
                self._recently_closed.popitem(last=False)

    def _add(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self._connection, self._session_credit, self._forget_if_over)
        self._open[stream_id] = stream
        self._messages.record_stream()
        self._connection.hasten_check()
        return stream

    def _find(self, stream_id: int) -> Stream | None:
        """Return a stream; None if it is over; a new one if the peer may open it."""
        if stream := self._open.get(stream_id):
            return stream
        if stream_id % 4 != EDGE_BIDIRECTIONAL or stream_id == CONTROL_STREAM:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id}")
        if self._on_stream is None:
            if stream_id >= self._connection.new_stream_id():
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id} is not open")
            return None
        is_new = self._seen.add(stream_id // 4)
        if is_new is None:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id}")
        if not is_new:
            return None
        stream = self._add(stream_id)
        self._on_stream(stream)
        return stream
