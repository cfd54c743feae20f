"""Connection of a client to the hub's API: its bytes go on as they are, without frames.

client ── TLS ──▶ HubConnection ◀──▶ HubUpstream ── TCP ──▶ hub
"""

import contextlib
import socket
from socket import SocketType
from typing import TYPE_CHECKING, Final, override

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.admission import Ticket
from towonel.relay.connection import Connection
from towonel.relay.core.lane_state import LaneState
from towonel.relay.frame_writer import FrameWriter
from towonel.relay.hop.results import FAILED, NOTHING
from towonel.relay.loop import ENDED, READABLE, WRITABLE, Loop
from towonel.relay.memory import Memory
from towonel.relay.socket_end import STALL_CHECK_S, SocketEnd
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

if TYPE_CHECKING:
    from towonel.edge.worker.self_route.clients import HubClients

_READS: Final = 4  # at a time


class HubConnection(Connection):
    """Connection of a client, and what it counts for.

    Args:
        sock, loop, upstream, owner, idle_s, readable: as of `Connection`; the upstream is in the place of a lane.
        ticket: what it counts for.
        record: for the access log, if the client gets a line there.
        first_bytes: of it that the hub is sent already.
    """

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        upstream: "HubUpstream",
        owner: "HubClients",
        *,
        idle_s: float,
        ticket: Ticket,
        record: AccessRecord | None,
        first_bytes: int,
    ) -> None:
        super().__init__(sock, loop, upstream, owner, idle_s=idle_s)
        self.received = first_bytes
        self.ticket = ticket
        self.record = record
        self.counted_in = self.counted_out = 0  # bytes that the counters have
        self._clients = owner

    @override
    def crash(self, error: Exception) -> None:
        self._owner.report_crash(error)
        self.fail(Code.INTERNAL)

    @override
    def check(self) -> None:
        self._clients.count_bytes(self)
        super().check()


class HubUpstream(FrameWriter):
    """Connection to the hub, which carries one client in the way of a lane, and ends with it.

    Args:
        sock: connected; it lingers for zero seconds.
        loop: where it is registered already.
        memory: of the client's TLS.
    """

    def __init__(self, sock: SocketType, loop: Loop, memory: Memory) -> None:
        state = LaneState(is_edge=True)
        state.receive(FrameType.ACCEPT, state.open())
        super().__init__(sock, loop, memory, state)
        self.connection: Connection | None = None
        self._closed = False

    def attach(self, connection: Connection) -> None:
        """Relay a connection from now on."""
        self.connection = connection
        self.loop.wheel.arm(self, STALL_CHECK_S)
        connection.on_readable()
        self.loop.queue(self)

    # From the client.

    @override
    def forward(self, source: SocketEnd, kind: FrameType = FrameType.DATA) -> int:
        body = self.memory.body_view
        try:
            count = source.sock.recv_into(body)
        except BlockingIOError:
            return NOTHING
        except OSError:
            return FAILED
        if count:
            self.send(body[:count])
        return count

    @override
    def send_end(self) -> None:
        self.state.end()
        self._shut_down_if_flushed()

    @override
    def send_reset(self, code: Code) -> None:
        if self.state.may_reset:
            self.state.reset()

    @override
    def on_clear(self) -> None:
        if self.state.sent_last:
            self._shut_down_if_flushed()
        elif self.connection is not None:
            self.connection.on_readable()

    def _shut_down_if_flushed(self) -> None:
        if self.clear:
            with contextlib.suppress(OSError):  # it is gone, which reading says as well
                self.sock.shutdown(socket.SHUT_WR)

    @override
    def on_broken(self) -> None:
        """Read what the hub had answered before it took no more."""
        self.readable = True
        self.loop.queue(self)

    # From the hub.

    @override
    def on_ready(self, events: int) -> None:
        if events & ENDED:
            self.hung_up = True
        if events & WRITABLE and not self.clear and not self.broken and self.flush():
            self.on_clear()
        if events & READABLE:
            self.readable = True
            if not self.queued:
                self.on_readable()

    @override
    def on_readable(self) -> None:
        for _ in range(_READS):
            connection = self.connection
            if connection is None or not self.readable or not connection.clear:
                return
            self._read(connection)
        if self.readable:
            self.loop.queue(self)

    @override
    def take_turn(self) -> bool:
        self.on_readable()
        return False

    def _read(self, connection: Connection) -> None:
        inbox = self.memory.inbox_view
        try:
            count = self.sock.recv_into(inbox)
        except BlockingIOError:
            self.readable = False
        except OSError:
            self._end(connection, Code.HUB_UNAVAILABLE)
        else:
            if count:
                connection.deliver(inbox[:count])
                return
            # The hub never ends its bytes before it has done with the client's.
            connection.end_output()
            self._end(connection, Code.NORMAL)

    def _end(self, connection: Connection, code: Code) -> None:
        """End a connection that the hub has ended: what it is still to get is delivered."""
        self.connection = None
        connection.abort(code)
        self._close()

    @override
    def expire(self) -> None:
        connection = self.connection
        if connection is None:
            return
        if self.is_stalled():
            self._end(connection, Code.HUB_UNAVAILABLE)
            return
        self.loop.wheel.arm(self, STALL_CHECK_S)
        connection.check()

    @override
    def crash(self, error: Exception) -> None:
        if self.connection is not None:
            self.connection.crash(error)

    @override
    def on_connection_gone(self) -> None:
        self.connection = None
        self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self.close()
