"""Multiplexer of a connection: a control stream of messages, and the streams beside it."""

import asyncio
from typing import Protocol, override

from towonel.tunnel.connection import Connection, ConnectionHandler
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream import Stream
from towonel.tunnel.streams import CONTROL_STREAM, Streams
from towonel.wire.errors import Code, ProtocolError, TowonelError
from towonel.wire.messages import Abandoned, Decoder, Message, Window, encode


class ChannelHandler(Protocol):
    """Handler of what differs between edge and agent; errors it raises close the connection."""

    @property
    def takes_streams(self) -> bool:
        """Whether streams and flow control have their place now."""
        ...

    def on_handshake_completed(self) -> None:
        """The QUIC handshake is complete."""
        ...

    def on_message(self, message: Message) -> None:
        """A message came that is not about flow control."""
        ...

    def on_stream(self, stream: Stream) -> None:
        """The peer opened a stream."""
        ...

    def on_closed(self, reason: CloseReason) -> None:
        """The connection is over; the streams know already."""
        ...


class Channel(ConnectionHandler):
    """Sorts what arrives into messages and streams, and closes on what breaks the protocol.

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
        self.streams = Streams(connection, self._credit, None if opens else handler.on_stream)

    def send(self, message: Message) -> None:
        """Send a message on the control stream.

        Raises:
            ProtocolError: TOO_LARGE for one that no peer would take.
        """
        self.connection.send(CONTROL_STREAM, encode(message))

    @override
    def on_handshake_completed(self) -> None:
        self._handler.on_handshake_completed()

    @override
    def on_stream_data(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        try:
            if stream_id == CONTROL_STREAM:
                self._handle_control_data(data, is_end=is_end)
            else:
                self._require_session()
                self.streams.receive(stream_id, data, is_end=is_end)
        except TowonelError as error:
            self._close(error)

    @override
    def on_reset_stream(self, stream_id: int, code: Code) -> None:
        try:
            self._require_session()
            self.streams.receive_reset(stream_id, code)
        except TowonelError as error:
            self._close(error)

    @override
    def on_stop_sending(self, stream_id: int, code: Code) -> None:
        try:
            self._require_session()
            self.streams.receive_stop(stream_id, code)
        except TowonelError as error:
            self._close(error)

    @override
    def on_closed(self, reason: CloseReason) -> None:
        self.streams.fail(Code.SESSION_LOST)
        self._handler.on_closed(reason)

    def _handle_control_data(self, data: bytes, *, is_end: bool) -> None:
        for message in self._decoder.feed(data):
            match message:
                case Window():
                    self._require_session()
                    self.streams.receive_window(message)
                case Abandoned():
                    self._require_session()
                    self.streams.receive_abandoned(message)
                case _:
                    self._handler.on_message(message)
            if self.connection.close_reason is not None:
                return
        if is_end:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control stream ended")

    def _require_session(self) -> None:
        if not self._handler.takes_streams:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "before Welcome")

    def _close(self, error: TowonelError) -> None:
        self.connection.close(CloseReason(error.code, error.detail))
