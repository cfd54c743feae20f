"""The streams of one connection: who they are, and who gets what arrives."""

from collections import OrderedDict
from collections.abc import Callable

from towonel.tunnel.connection import Connection
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream import Stream
from towonel.tunnel.stream_ids import SeenStreams
from towonel.wire.errors import Code, ProtocolError, Unavailable
from towonel.wire.messages import Abandoned, Window

MAX_STREAMS = 1024  # at once on a session; each costs aioquic time on every packet it builds
MAX_RECENTLY_CLOSED = 2048  # ended streams whose byte counts a late STOP_SENDING may still ask for
EDGE_BIDIRECTIONAL = 1  # the low two bits of a stream id; RFC 9000 §2.1
CONTROL_STREAM = 1


class Streams:
    """Every stream of a connection until both its directions have ended.

    Args:
        incoming: takes a stream that the peer opened; None on the edge, which opens them all.
    """

    def __init__(
        self,
        connection: Connection,
        budget: SessionCredit,
        incoming: Callable[[Stream], None] | None = None,
    ) -> None:
        self._connection = connection
        self._budget = budget
        self._incoming = incoming
        self._arrivals = SeenStreams()
        self._open: dict[int, Stream] = {}
        self._recently_closed: OrderedDict[int, int] = OrderedDict()  # stream id -> bytes we sent
        self._lost: Code | None = None

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self) -> Stream:
        """Open a stream.

        Raises:
            Unavailable: OVERLOADED at `MAX_STREAMS`, or how the connection ended.
        """
        if self._lost is not None:
            raise Unavailable(self._lost, "session")
        if self.count >= MAX_STREAMS:
            raise Unavailable(Code.OVERLOADED, f"{MAX_STREAMS} streams")
        stream_id = self._connection.new_stream_id()
        self._connection.send(stream_id, b"")  # takes the id; nothing is sent for it
        return self._add(stream_id)

    def receive(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        """Hand over bytes that arrived.

        Raises:
            ProtocolError: FLOW_CONTROL, or UNEXPECTED_MESSAGE on a stream nobody may open.
        """
        if stream := self._find(stream_id):
            stream.inbound.push(data, is_end=is_end)
            self._sweep(stream)

    def reset(self, stream_id: int, code: Code) -> None:
        """The peer ended its side of a stream early.

        Raises:
            ProtocolError: as `data`.
        """
        if stream := self._find(stream_id):
            stream.inbound.reset(code)
            self._sweep(stream)

    def stop(self, stream_id: int, code: Code) -> None:
        """The peer reads no more of a stream.

        Raises:
            ProtocolError: as `data`.
        """
        if stream := self._find(stream_id):
            stream.outbound.stopped(code)
            self._sweep(stream)
        elif (sent_bytes := self._recently_closed.pop(stream_id, None)) is not None:
            self._budget.abandoned(stream_id, sent_bytes)

    def grant(self, message: Window) -> None:
        """The peer has read: more may be sent.

        Raises:
            ProtocolError: as `data`.
        """
        if message.stream_id is None:
            self._budget.grant(message.limit)
        elif stream := self._find(message.stream_id):
            stream.outbound.grant(message.limit)

    def settle_abandoned(self, message: Abandoned) -> None:
        """The peer says how many bytes it counted on a stream that it reset.

        Raises:
            ProtocolError: as `data`.
        """
        if stream := self._find(message.stream_id):
            stream.inbound.abandon(message.sent_bytes)
            self._sweep(stream)

    def lose(self, code: Code) -> None:
        """The connection is gone: wake everybody."""
        self._lost = code
        streams, self._open = self._open, {}
        for stream in streams.values():
            stream.lose(code)

    def _sweep(self, stream: Stream) -> None:
        """Forget a stream that is over."""
        if stream.is_over and self._open.pop(stream.stream_id, None) is not None:
            self._recently_closed[stream.stream_id] = stream.outbound.sent_bytes
            if len(self._recently_closed) > MAX_RECENTLY_CLOSED:
                self._recently_closed.popitem(last=False)

    def _add(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self._connection, self._budget, self._sweep)
        self._open[stream_id] = stream
        return stream

    def _find(self, stream_id: int) -> Stream | None:
        """Return a stream; None when it is over; a new one when the peer may open it."""
        if stream := self._open.get(stream_id):
            return stream
        if stream_id % 4 != EDGE_BIDIRECTIONAL or stream_id == CONTROL_STREAM:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id}")
        if self._incoming is None:
            if stream_id >= self._connection.new_stream_id():
                raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id} is not open")
            return None
        first_time = self._arrivals.add(stream_id // 4)
        if first_time is None:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, f"stream {stream_id}")
        if not first_time:
            return None
        stream = self._add(stream_id)
        self._incoming(stream)
        return stream
