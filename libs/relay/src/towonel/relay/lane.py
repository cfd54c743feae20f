"""Lane: a TCP connection from agent to edge that carries one client connection after another."""

from socket import SocketType
from typing import Final, override

from towonel.relay.connection import Connection
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_state import LaneState, Received
from towonel.relay.lane_events import LaneEvents
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.socket_end import STALL_CHECK_S
from towonel.relay.sockets import end_on_close, tune_lane
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import PROBE_BYTES, FrameType

RESET_ANSWER_S: Final = 2.0


class Lane(LaneEvents):
    """One end of a lane, which `EdgeLane` and `AgentLane` inherit from.

    Nothing that TLS protects may be spliced past it: such a lane has the memory of its TLS, without pipes.

    Attributes:
        resting: whether its last use is over, and `on_idle` knows.
    """

    def __init__(self, sock: SocketType, loop: Loop, memory: Memory, state: LaneState) -> None:
        tls = sock if isinstance(sock, TlsSocket) else None
        super().__init__(sock, loop, memory if tls is None else tls.memory, state)
        tune_lane(sock)
        self.resting = True

    @property
    def kind(self) -> LaneKind:
        """Whether TLS protects it."""
        return LaneKind.PLAIN if self._tls is None else LaneKind.TLS

    # How uses begin and end.

    def attach(self, connection: Connection) -> None:
        """Relay a connection, which has this lane, from now on: the agent has accepted.

        One that has ended already ends the use.
        """
        if connection.lane is None:
            self.end_use(connection.code)
            return
        self.connection = connection
        connection.group = self.group
        self.loop.wheel.arm(self, STALL_CHECK_S)
        if connection.readable:
            connection.on_readable()

    def end_use(self, code: Code) -> None:
        """Send the last frame of this side, if that is not done, without a connection."""
        self.refuse_data()
        self.loop.wheel.arm(self, RESET_ANSWER_S)
        self.send_reset(code)
        self.rest_if_idle()

    @override
    def lose(self, code: Code) -> None:
        if self.closed:
            return
        self.closed = True
        connection, self.connection = self.connection, None
        self.close()
        if connection is not None:
            connection.abort(code)
        self.on_lost(code)

    def cut(self, code: Code) -> None:
        """Close the lane and its connection at once, whatever was still to be delivered."""
        if self.connection is not None:
            self.connection.finish(code)
        self.lose(code)

    def retire(self) -> None:
        """Close the lane, which is idle, so that the peer gets what was sent before."""
        if not self.closed:
            if self._tls is not None:
                self._tls.end()
            end_on_close(self.sock)
            self.lose(Code.NORMAL)

    # Frames of the peer.

    @override
    def act(self, what: Received, payload: bytes) -> None:
        match what:
            case Received.ACCEPTED:
                self.take_data()
                self.on_accept()
            case Received.ENDED:
                self._end_output()
            case Received.OPENED:
                self.resting = False
                self.on_open(payload)
            case Received.RESET:
                self._fail_use(lanes.decode_code(payload))
            case Received.REJECTED:
                self.on_reject(lanes.decode_code(payload))
            case Received.PING | Received.PONG:
                self._act_on_probe(what, payload)
            case _:  # DATA, which is delivered as it comes, and a RESET that came too late
                pass

    def _act_on_probe(self, what: Received, payload: bytes) -> None:
        if what is Received.PONG:
            self.on_pong()
        elif self.clear:  # a peer that does not read its answers gets none
            self.send_frame(lanes.encode_head(FrameType.PONG, 0, PROBE_BYTES) + payload)

    def _end_output(self) -> None:
        self.refuse_data()
        if self.connection is not None:
            self.connection.end_output()
        self.rest_if_idle()

    def _fail_use(self, code: Code) -> None:
        connection, self.connection = self.connection, None
        if connection is None:
            self.on_reset(code)
            return
        connection.abort(code)
        self.end_use(code)

    @override
    def on_clear(self) -> None:
        if self.connection is not None:
            self.connection.on_readable()

    @override
    def on_broken(self) -> None:
        self.lose(Code.SESSION_LOST)

    @override
    def on_last_frame(self) -> None:
        self.rest_if_idle()

    @override
    def on_connection_gone(self) -> None:
        self.connection = None
        if self.closed or self.state.idle:
            return
        self.loop.wheel.arm(self, RESET_ANSWER_S)
        if self.readable:
            self.loop.queue(self)  # it may have waited for the connection

    @override
    def expire(self) -> None:
        if self.closed:
            return
        if self.connection is not None:
            self._check_use(self.connection)
        elif self.state.sent_last and not self.resting:
            self.lose(Code.SESSION_LOST)  # RESET is not answered
        else:
            self.on_deadline()

    def _check_use(self, connection: Connection) -> None:
        if self.is_stalled():
            self.lose(Code.SESSION_LOST)
            return
        self.loop.wheel.arm(self, STALL_CHECK_S)
        connection.check()

    def rest_if_idle(self) -> None:
        """Begin to rest, once the use is over for both sides."""
        if self.closed or self.resting or not self.state.idle:
            return
        self.resting = True
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.lane = None  # it sends what it still has, and closes
            self.loop.wheel.arm(connection, STALL_CHECK_S)
        self.loop.wheel.relax(self)
        self.on_idle()
