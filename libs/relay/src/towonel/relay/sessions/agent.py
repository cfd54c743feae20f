"""Agent's lanes of one session: dialed ahead, pinged while idle, and used for the edge's clients."""

from collections.abc import Callable
from socket import SocketType
from typing import Final, override

from towonel.identity.lanes import LaneSeal
from towonel.relay.admission.dial import LaneDial, LaneTarget
from towonel.relay.connection import Connection
from towonel.relay.core.deadlines import Timed
from towonel.relay.core.lane_state import LaneState
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop, TurnGroup
from towonel.relay.memory import Memory
from towonel.relay.sessions.agent_owner import AgentSessionOwner, AgentUse
from towonel.relay.sessions.dialer import LaneDialer, draw
from towonel.relay.socket_end import STALL_CHECK_S
from towonel.relay.tls.lane_tls import AgentTls
from towonel.wire import lanes
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lane_open import MORE
from towonel.wire.lanes import PROBE_BYTES, FrameType

ACCEPT_AFTER_S: Final = 0.02  # of silence of the origin
_PING_LEAST_S: Final = 20.0
_PING_SPREAD_S: Final = 10.0
PONG_S: Final = 10.0


class AgentLaneSession(LaneDialer):
    """Lanes of one session; made by `AgentLanes.add_session`.

    Attributes:
        idle: lanes that wait for a client.
        busy: lanes whose use is not over.
        going_away: whether clients are rejected.
        group: whose turns of bulk its lanes and origins take.
    """

    def __init__(
        self,
        target: LaneTarget,
        loop: Loop,
        memory: Memory,
        owner: AgentSessionOwner,
        admission_s: float,
        tls: Callable[[], AgentTls],
        workers: int,
    ) -> None:
        super().__init__(target, loop, admission_s, tls, workers)
        self.owner = owner
        self.idle: set[AgentLane] = set()
        self.busy: set[AgentLane] = set()
        self.going_away = False
        self.group = TurnGroup()
        self._memory = memory
        self._ended = False

    @property
    def session_id(self) -> bytes:
        """The session's."""
        return self.target.session_id

    @override
    def count_lanes(self) -> tuple[int, int]:
        idle = len(self.idle)
        return idle + len(self.busy), idle

    @override
    def on_admitted(self, dial: LaneDial, seal: LaneSeal) -> None:
        self.dials.discard(dial)
        lane = AgentLane(dial.sock, self.loop, self._memory, self, seal)
        self.loop.replace(lane.descriptor, lane)
        self.idle.add(lane)
        self.owner.on_lane_admitted(lane.kind)
        lane.ping()  # the edge answers once it has admitted the lane, too
        lane.on_readable()

    @override
    def on_failure(self, code: Code, *, is_last: bool) -> None:
        self.owner.on_dial_failed(self, code, is_last=is_last)

    @override
    def on_refusal(self, code: Code) -> None:
        self.owner.on_dial_refused(code)

    @override
    def on_working(self) -> None:
        self.owner.on_working(self)

    def forget(self, lane: "AgentLane", code: Code, *, worked: bool) -> None:
        """Drop a lane that is closed; one that never worked was not admitted by the edge."""
        self.idle.discard(lane)
        self.busy.discard(lane)
        self.owner.on_lane_lost(code)
        if worked or self.going_away:
            self.replace_lost()
        else:
            self.note_failure(code, lane.kind)

    def take(self, lane: "AgentLane") -> None:
        """Let a lane be used; another may be dialed in its place."""
        self.idle.discard(lane)
        self.busy.add(lane)
        if self.held_back:
            self.dial_missing()

    def release(self, lane: "AgentLane") -> None:
        """Take a lane back after its use; one of a session that is over ends once it has sent all."""
        if not self._ended:
            self.busy.discard(lane)
            self.idle.add(lane)
        elif lane.clear:
            lane.retire()

    @property
    def in_use(self) -> int:
        """Lanes whose use is not over, and of a session that is over all others that are not closed."""
        return len(self.busy)

    @property
    def unsent(self) -> "list[AgentLane]":
        """Lanes of a session that is over, whose edge has not taken all of their last use."""
        return [lane for lane in self.busy if lane.resting]

    def go_away(self) -> None:
        """Dial no more, and reject clients; the edge closes the lanes."""
        self.going_away = True
        self.stop_dialing()

    def end(self, cut: Code | None) -> None:
        """Close idle lanes, and the others after their uses or at once."""
        self._ended = True
        self.go_away()
        for lane in list(self.idle):
            if lane.clear:
                lane.retire()
            else:
                self.idle.discard(lane)
                self.busy.add(lane)
        if cut is not None:
            for lane in list(self.busy):
                lane.cut(cut)


class _AcceptDelay(Timed):
    """Timer of an ACCEPT that waits for the origin's first bytes."""

    def __init__(self, lane: "AgentLane") -> None:
        self._lane = lane

    @override
    def expire(self) -> None:
        if self._lane.connection is not None:
            self._lane.connection.accept()


class AgentLane(Lane):
    """Agent's end of a lane; arguments as of `Lane`, and its session and seal."""

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        memory: Memory,
        session: AgentLaneSession,
        seal: LaneSeal,
    ) -> None:
        super().__init__(sock, loop, memory, LaneState(is_edge=False))
        self.session = session
        self.group = session.group
        self._seal = seal
        self._use: AgentUse | None = None
        self._more = False  # bytes of the client wait for ACCEPT
        self._worked = False
        self._pinged = False
        self._is_read = True  # whether the edge has read all of the last use
        self._ping_s = _PING_LEAST_S + _PING_SPREAD_S * draw()
        self._accept_delay = _AcceptDelay(self)

    def accept(self, connection: Connection) -> None:
        """Answer OPEN: relay an origin that is connected, whose `Connection` has this lane.

        It has `first=FrameType.ACCEPT`, and the client's first bytes were delivered to it. ACCEPT goes with
        the origin's first bytes, after 20 ms without any, or at once if the edge holds more of the client's.
        A connection that has ended already, because the origin failed, ends the use.
        """
        self._use = None
        if connection.lane is None:
            self.end_use(connection.code)
            return
        self.state.accept()
        self.take_data()
        self.attach(connection)
        if self._more:
            connection.accept()
        else:
            self.loop.delays.arm(self._accept_delay, ACCEPT_AFTER_S)

    def reject(self, code: Code) -> None:
        """Answer OPEN: no byte of the client has reached the origin, and none will."""
        self._use = None
        self.state.reject()
        self.send_frame(lanes.encode_code(FrameType.REJECT, self.state.use, code))
        self.end_use(code)

    def fail(self, code: Code) -> None:
        """Answer OPEN: the origin failed after bytes of the client may have reached it."""
        self._use = None
        self.end_use(code)

    def ping(self) -> None:
        """Ask whether the edge is there."""
        self._pinged = True
        self.loop.wheel.arm(self, PONG_S)
        self.send_frame(lanes.encode_head(FrameType.PING, 0, PROBE_BYTES) + bytes(PROBE_BYTES))

    @override
    def on_open(self, payload: bytes) -> None:
        self._is_read = True
        number, session = self.state.use, self.session
        head = lanes.encode_head(FrameType.OPEN, number, len(payload))
        content = self._seal.open(number, head, payload)
        if not content:
            raise ProtocolError(Code.MALFORMED, "OPEN without content")
        self.on_pong()  # this is as good as one: the edge is there, and has admitted the lane
        session.take(self)
        self._more = bool(content[0] & MORE)
        self.loop.wheel.relax(self)
        if session.going_away:
            self.reject(Code.GOING_AWAY)
            return
        use = session.owner.open(self, content)
        if not self.closed and not self.state.accepted and not self.state.sent_last:
            self._use = use

    @override
    def on_reset(self, code: Code) -> None:
        use, self._use = self._use, None
        self.end_use(code)
        if use is not None:
            use.on_cancelled(code)

    @override
    def on_idle(self) -> None:
        self._is_read = False
        self.loop.wheel.arm(self, self._ping_s)
        self.session.release(self)

    @override
    def on_clear(self) -> None:
        if self.resting:
            self.session.release(self)
        else:
            super().on_clear()

    @override
    def on_deadline(self) -> None:
        if not self.resting:
            return  # the edge asks
        if not self._pinged:
            self.ping()
        elif self._is_read or self.is_stalled():
            self.lose(Code.SESSION_LOST)
        else:  # its client may pause in the middle of an answer, behind which the PING waits
            self.loop.wheel.arm(self, STALL_CHECK_S)

    @override
    def on_pong(self) -> None:
        self._pinged = False
        self._is_read = True
        if self.resting:
            self.loop.wheel.arm(self, self._ping_s)
        if not self._worked:
            self._worked = True
            self.session.note_working(self.kind)

    @override
    def on_lost(self, code: Code) -> None:
        use, self._use = self._use, None
        self.session.forget(self, code, worked=self._worked)
        if use is not None:
            use.on_cancelled(code)
