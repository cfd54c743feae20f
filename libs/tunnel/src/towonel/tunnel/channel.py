"""Channel over a connection: control messages for a state machine, and the streams beside them."""

import asyncio
from collections.abc import Callable
from typing import Protocol, override

from towonel.tunnel.core.bounds.message_budget import MessageBudget
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    CloseRequested,
    Command,
    ConnectionClosed,
    Event,
    HandshakeCompleted,
    MessageReceived,
    Report,
    ReportEnded,
    ReportGoingAway,
    ReportOfEdge,
    ReportOpened,
    ReportRefused,
    ReportServicesChanged,
    Send,
)
from towonel.tunnel.core.machine import Machine
from towonel.tunnel.core.stream_ids import CONTROL_STREAM
from towonel.tunnel.driver import Driver
from towonel.tunnel.quic.connection import ConnectionHandler
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.stream import Stream
from towonel.tunnel.streams import Streams
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code, ProtocolError, TowonelError
from towonel.wire.messages import Abandoned, Decoder, Message, Window, encode
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints

MAX_CONTROL_BYTES = 1024 * 1024  # of ours, without an acknowledgement


class ChannelHandler(Protocol):
    """Handler of what edge and agent do differently."""

    def on_stream(self, stream: Stream) -> None:
        """The peer opened a stream."""
        ...

    def on_opened(self) -> None:
        """The session is open."""
        ...

    def on_refused(self, reason: CloseReason) -> None:
        """The session ended before it was open; the last call."""
        ...

    def on_going_away(self) -> None:
        """The peer wants no new streams."""
        ...

    def on_services_changed(self, before: frozenset[ServiceKey], hints: BalanceHints) -> None:
        """The peer, an agent, serves something else or has other hints; an edge that says so is refused before."""
        raise AssertionError("an agent is told nothing of the kind")

    def on_edge_report(self, report: ReportOfEdge) -> None:
        """The peer is an edge, and says what only edges say; an agent that does is refused before."""
        raise AssertionError("an edge is told nothing of the kind")

    def on_ended(self, reason: CloseReason) -> None:
        """The session was open, and is over; the last call."""
        ...


class Channel(ConnectionHandler):
    """Channel of one end: sorts what arrives, and closes on what breaks the protocol.

    Args:
        connection: the one this is the handler of.
        machine: decides.
        handler: is called with streams and what the machine reports.
        opens: whether streams are opened at this end (the edge) or at the other.
        now_ms: Unix time, where the machine wants it.
    """

    def __init__(
        self,
        connection: Transport,
        machine: Machine,
        handler: ChannelHandler,
        *,
        opens: bool,
        now_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.connection = connection
        self._machine = machine
        self._handler = handler
        self._now_ms = now_ms
        self._driver = Driver(machine, self._execute)
        self._decoder = Decoder()
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._messages = MessageBudget(loop.time())
        self._credit = SessionCredit(
            self._send, loop.time, lambda: connection.rtt_s, connection.receive_share
        )
        self.streams = Streams(
            connection, self._credit, self._messages, None if opens else handler.on_stream
        )

    @property
    @override
    def has_streams(self) -> bool:
        return self.streams.count > 0

    def request(self, event: Event) -> None:
        """Let the machine handle a request of this end."""
        self._driver.handle(event)

    def close(self, reason: CloseReason) -> None:
        """End the session and every stream on it."""
        self._driver.handle(CloseRequested(reason))

    @override
    def on_handshake_completed(self) -> None:
        self._driver.handle(HandshakeCompleted())

    @override
    def on_stream_data(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        try:
            if stream_id == CONTROL_STREAM:
                self._handle_control_data(data, is_end=is_end)
            else:
                self._require_session()
                self.streams.receive(stream_id, data, is_end=is_end)
        except TowonelError as error:
            self.close(CloseReason(error.code, error.detail))

    @override
    def on_reset_stream(self, stream_id: int, code: Code) -> None:
        try:
            self._require_session()
            self.streams.receive_reset(stream_id, code)
        except TowonelError as error:
            self.close(CloseReason(error.code, error.detail))

    @override
    def on_stop_sending(self, stream_id: int, code: Code) -> None:
        try:
            self._require_session()
            self.streams.receive_stop(stream_id, code)
        except TowonelError as error:
            self.close(CloseReason(error.code, error.detail))

    @override
    def on_closed(self, reason: CloseReason) -> None:
        self.streams.fail(Code.SESSION_LOST)
        self._driver.handle(ConnectionClosed(reason))

    def _handle_control_data(self, data: bytes, *, is_end: bool) -> None:
        for message in self._decoder.feed(data):
            self._messages.spend(self._clock(), self._credit.sent_bytes)
            match message:
                case None:
                    continue
                case Window():
                    self._require_session()
                    self.streams.receive_window(message)
                case Abandoned():
                    self._require_session()
                    self.streams.receive_abandoned(message)
                case _:
                    self._driver.handle(MessageReceived(message, self._now_ms()))
            if self.connection.close_reason is not None:
                return
        if is_end:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "control stream ended")

    def _require_session(self) -> None:
        if not self._machine.takes_streams:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "before Welcome")

    def _execute(self, command: Command) -> None:
        match command:
            case Send(message):
                self._send(message)
            case Close(reason):
                self.connection.close(reason)
            case _:
                self._report(command)

    def _report(self, report: Report) -> None:
        match report:
            case ReportOpened():
                self.connection.widen()
                self._handler.on_opened()
            case ReportRefused(reason):
                self._handler.on_refused(reason)
            case ReportGoingAway():
                self._handler.on_going_away()
            case ReportServicesChanged(before, hints):
                self._handler.on_services_changed(before, hints)
            case ReportEnded(reason):
                self._handler.on_ended(reason)
            case _:
                self._handler.on_edge_report(report)

    def _send(self, message: Message) -> None:
        self.connection.send(CONTROL_STREAM, encode(message))
        if self.connection.budget_of(CONTROL_STREAM).held > MAX_CONTROL_BYTES:
            self.close(CloseReason(Code.OVERLOADED, "control messages are not acknowledged"))
