"""What both ends of a connection share: a control stream of messages, and the streams beside it."""

import asyncio
from typing import Protocol, override

from towonel.tunnel.close_reason import CloseReason
from towonel.tunnel.connection import Connection, ConnectionHandler
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream import Stream
from towonel.tunnel.streams import CONTROL_STREAM, Streams
from towonel.wire.errors import Code, ProtocolError, TowonelError
from towonel.wire.messages import Abandoned, Decoder, Message, Window, encode


class ChannelHandler(Protocol):
    """What differs between edge and agent; errors it raises close the connection."""

    def established(self) -> None:
        """The QUIC handshake is complete."""
        ...

    def message(self, message: Message) -> None:
        """A message came that is not about flow control."""
        ...

    def incoming(self, stream: Stream) -> None:
        """The peer opened a stream."""
        ...

    def ended(self, ending: CloseReason) -> None:
        """The connection is over; the streams know already."""
        ...


class Channel(ConnectionHandler):
    """Sort what arrives into messages and streams, and close on what breaks the protocol.

    Args:
        connection: the one this is the handler of.
        handler: the rest of the behaviour.
        opens: whether streams are opened at this end (the edge) or at the other.
    """

    def __init__(self, connection: Connection, handler: ChannelHandler, *, opens: bool) -> None:
        self.connection = connection
        self._handler = handler
        self._decoder = Decoder()
        loop = asyncio.get_running_loop()
        self._credit = SessionCredit(self.send, loop.time, lambda: connection.rtt_s)
        self.streams = Streams(connection, self._credit, None if opens else handler.incoming)
        self.is_admitted = False  # streams and flow control only after Welcome

    def send(self, message: Message) -> None:
        """Send a message on the control stream."""
        self.connection.send(CONTROL_STREAM, encode(message))

    def close(self, code: Code, detail: str = "") -> None:
        """Close the connection; the peer gets the code only."""
        self.connection.close(CloseReason(code, detail))

    @override
    def established(self) -> None:
        self._handler.established()

    @override
    def stream_data(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        try:
            if stream_id == CONTROL_STREAM:
                self._control_data(data, is_end=is_end)
            else:
                self._require_admission()
                self.streams.receive(stream_id, data, is_end=is_end)
        except TowonelError as error:
            self.close(error.code, error.detail)

    @override
    def stream_reset(self, stream_id: int, code: Code) -> None:
        try:
            self._require_admission()
            self.streams.reset(stream_id, code)
        except TowonelError as error:
            self.close(error.code, error.detail)

    @override
    def stream_stopped(self, stream_id: int, code: Code) -> None:
        try:
            self._require_admission()
            self.streams.stop(stream_id, code)
        except TowonelError as error:
            self.close(error.code, error.detail)

    @override
    def ended(self, ending: CloseReason) -> None:
        self.streams.lose(Code.SESSION_LOST)
        self._handler.ended(ending)

    def _control_data(self, data: bytes, *, is_end: bool) -> None:
        for message in self._decoder.feed(data):
            match message:
                case Window():
                    self._require_admission()
                    self.streams.grant(message)
                case Abandoned():
                    self._require_admission()
                    self.streams.settle_abandoned(message)
                case _:
                    self._handler.message(message)
            if self.connection.close_reason is not None:
                return
        if is_end:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control stream ended")

    def _require_admission(self) -> None:
        if not self.is_admitted:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "before Welcome")
