"""QUIC connection on the event loop: aioquic decides, this carries out.

aioquic's core takes datagrams and the time, and returns events, datagrams and its next deadline. Its own asyncio adapter answers every datagram with a transmission and every write
with another; here one transmission serves whatever happened in one turn of the loop.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from aioquic.quic import events

from towonel.tunnel.core.bounds.receive_windows import ADMITTED_SIZES
from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.failure_detector import FailureDetector
from towonel.tunnel.core.keepalive import Action, Keepalive
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.bounded_connection import BoundedConnection
from towonel.tunnel.quic.close_frame import code_of, from_event
from towonel.tunnel.quic.pings import Pings
from towonel.tunnel.quic.udp import Address
from towonel.wire.errors import Code

CLOCK_SLACK_S = 0.000_1  # a timer fires when the loop's clock is this close
MAX_QUIC_STREAMS = 4096  # that aioquic keeps: open ones, and ended ones without an acknowledgement

type SendDatagram = Callable[[bytes, Address], None]


class ConnectionHandler(Protocol):
    """Handler of what arrives on a connection; called from the loop, never blocks."""

    @property
    def has_streams(self) -> bool:
        """Whether somebody waits for the peer."""
        ...

    def on_handshake_completed(self) -> None:
        """The QUIC handshake is complete."""
        ...

    def on_stream_data(self, stream_id: int, data: bytes, *, is_end: bool) -> None:
        """The next bytes of a stream arrived, in order."""
        ...

    def on_reset_stream(self, stream_id: int, code: Code) -> None:
        """The peer ended its sending side."""
        ...

    def on_stop_sending(self, stream_id: int, code: Code) -> None:
        """The peer reads no more; aioquic has already reset our sending side."""
        ...

    def on_closed(self, reason: CloseReason) -> None:
        """The connection is over; the last call."""
        ...


class Connection:
    """QUIC connection: datagrams in, datagrams out, time, and calls to a `ConnectionHandler`.

    Args:
        quic: in the state before its first datagram.
        send: sends a datagram.
        make_handler: makes the handler of this connection.
        on_connection_id: called with each connection id the peer may use from now on (True) or no
            more (False).
        on_closed: called once, after the handler.
        keepalive_s: without streams and without a packet of the peer, until it is pinged.
        timing: `probe_s` and `dead_s`.
    """

    def __init__(
        self,
        quic: BoundedConnection,
        send: SendDatagram,
        make_handler: Callable[["Connection"], ConnectionHandler],
        *,
        on_connection_id: Callable[[bytes, bool], None] = lambda _id, _valid: None,
        on_closed: Callable[[], None] = lambda: None,
        keepalive_s: float = DEFAULT_TIMING.edge_keepalive_s,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._quic = quic
        self._send = send
        self._on_connection_id = on_connection_id
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transmission: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._check: asyncio.TimerHandle | None = None
        self._began_at = self._loop.time()
        self._detector = FailureDetector()
        self._pings = Pings(quic.send_ping, self._detector)
        self._keepalive = Keepalive(self._detector, keepalive_s, timing, self._began_at)
        self.send_budget = quic.send_budget  # of what is sent and not acknowledged
        self.receive_share = quic.receive_share  # of what arrived and is not read
        self.receive_share.wake = self._transmit_soon
        self.close_reason: CloseReason | None = None
        self.has_streams = True
        self._handler = make_handler(self)  # last: it sees a whole connection

    @property
    def peer(self) -> str:
        """Where the peer is now, `host:port`; it can move."""
        address = self._quic.get_peer_address()
        return f"{address[0]}:{address[1]}" if address else "unknown"

    @property
    def rtt_s(self) -> float:
        """The round trip now."""
        return self._pings.rtt_s

    @property
    def unanswered_s(self) -> float:
        """For how long the peer has owed the answer to a ping; 0 where it owes none."""
        return self._detector.unanswered_s(self._last_received_at, self._loop.time())

    @property
    def has_room_for_stream(self) -> bool:
        """Whether aioquic does not keep too many streams that have ended for us."""
        return self._quic.stream_count < MAX_QUIC_STREAMS

    def budget_of(self, stream_id: int) -> SendBudget:
        """Return the budget of what is sent on a stream."""
        return self._quic.budget_of(stream_id)

    def widen(self) -> None:
        """Let the peer send as much as our own credit allows: it was admitted."""
        self._quic.widen(ADMITTED_SIZES)
        self._transmit_soon()

    def connect(self, address: Address) -> None:
        """Begin the handshake, as the client."""
        self._quic.connect(address, now=self._loop.time())
        self._transmit_soon()

    def receive(self, data: bytes, address: Address) -> None:
        """Take one datagram of this connection."""
        if self.close_reason is not None:
            return
        try:
            self._quic.receive_datagram(data, address, now=self._loop.time())
        except Exception as error:  # noqa: BLE001  # a bug met by one peer ends one connection
            self._crash(error)
        else:
            self._handle_events()
            self._transmit_soon()

    def new_stream_id(self) -> int:
        """Return the id that the next stream of ours has; it exists once something is sent."""
        return self._quic.get_next_available_stream_id()

    def send(self, stream_id: int, data: bytes, *, is_end: bool = False) -> bool:
        """Queue bytes of a stream; False when that direction is over."""
        try:
            self._quic.send_stream_data(stream_id, data, is_end)
        except (ValueError, RuntimeError):  # finished and forgotten by aioquic, or reset
            return False
        self._transmit_soon()
        return True

    def reset(self, stream_id: int, code: Code) -> None:
        """End our sending side of a stream and drop what is queued."""
        try:
            self._quic.reset_stream(stream_id, int(code))
        except ValueError:  # over, and forgotten by aioquic, or one of which only messages came
            return
        self._transmit_soon()

    def stop(self, stream_id: int, code: Code) -> None:
        """Ask the peer to end its sending side of a stream."""
        try:
            self._quic.stop_stream(stream_id, int(code))
        except ValueError:  # aioquic forgot it: both directions are over
            return
        self._transmit_soon()

    def ping(self) -> None:
        """Ask for a sign of life, which also measures the round trip, unless it was asked for."""
        if self.close_reason is None:
            self._pings.ask(self._loop.time(), self._last_received_at)
            self._transmit_soon()

    def hasten_check(self) -> None:
        """Look soon whether the peer is there: a stream was opened, and somebody waits."""
        if self._check is not None and self._keepalive.hasten(self._loop.time()):
            self._check.cancel()
            self._arm_check()

    def close(self, reason: CloseReason) -> None:
        """Tell the peer and forget it at once: nothing it sends could matter any more."""
        if self.close_reason is None:
            self._quic.close(error_code=int(reason.code))
            self._transmit()
            self._end(reason)

    def _transmit_soon(self) -> None:
        if self._transmission is None and self.close_reason is None:
            self._transmission = self._loop.call_soon(self._transmit)

    def _transmit(self) -> None:
        self._transmission = None
        if self.close_reason is not None:
            return
        for data, address in self._quic.datagrams_to_send(now=self._loop.time()):
            self._send(data, address)
        self._arm()

    def _arm(self) -> None:
        """Wake when aioquic next wants it; a timer that is too early stays and looks again."""
        due = self._quic.get_timer()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        due = self._quic.get_timer()
        now = self._loop.time()
        if due is not None and due <= now + CLOCK_SLACK_S:
            self._quic.handle_timer(now=max(now, due))
            self._handle_events()
            self._transmit()
        else:
            self._arm()

    @property
    def _last_received_at(self) -> float:
        return self._quic.last_received_at or self._began_at

    def _keep_alive(self) -> None:
        action = self._keepalive.check(
            self._loop.time(), self._last_received_at, has_streams=self._handler.has_streams
        )
        if action is Action.GIVE_UP:
            self.close(CloseReason(Code.SESSION_LOST, "the peer does not answer"))
            return
        if action is Action.PING:
            self.ping()
        self._arm_check()

    def _arm_check(self) -> None:
        self._check = self._loop.call_at(self._keepalive.next_at, self._keep_alive)

    def _handle_events(self) -> None:
        while self.close_reason is None and (event := self._quic.next_event()) is not None:
            self._handle(event)

    def _handle(self, event: events.QuicEvent) -> None:
        match event:
            case events.StreamDataReceived():
                self._handler.on_stream_data(event.stream_id, event.data, is_end=event.end_stream)
            case events.StreamReset():
                self._handler.on_reset_stream(event.stream_id, code_of(event.error_code))
            case events.StopSendingReceived():
                self._handler.on_stop_sending(event.stream_id, code_of(event.error_code))
            case _:
                self._handle_connection_event(event)

    def _handle_connection_event(self, event: events.QuicEvent) -> None:
        """Handle what concerns no stream; ALPN, 0-RTT and datagrams are not ours."""
        match event:
            case events.PingAcknowledged():
                self._pings.measure(event.uid, self._loop.time())
            case events.HandshakeCompleted():
                self.ping()
                self._arm_check()
                self._handler.on_handshake_completed()
            case events.ConnectionTerminated():
                self._end(from_event(event))
            case events.ConnectionIdIssued():
                self._on_connection_id(event.connection_id, True)
            case events.ConnectionIdRetired():
                self._on_connection_id(event.connection_id, False)
            case _:
                return

    def _crash(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "a QUIC connection failed on a datagram", "exception": error}
        )
        self.close(CloseReason(Code.INTERNAL, type(error).__name__))

    def _end(self, reason: CloseReason) -> None:
        self.close_reason = reason
        for handle in (self._transmission, self._timer, self._check):
            if handle is not None:
                handle.cancel()
        self.send_budget.leave()
        self.receive_share.leave()
        self._quic.release()
        self._handler.on_closed(reason)
        self._on_closed()
