"""Edge's end of a lane, and what clients use it for."""

from socket import SocketType
from typing import TYPE_CHECKING, Final, Protocol, override

from towonel.identity.lanes import SEAL_BYTES, LaneSeal
from towonel.relay.core.lane_state import LaneState
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.socket_end import STALL_CHECK_S
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import PROBE_BYTES, FrameType

if TYPE_CHECKING:
    from towonel.relay.sessions.edge import LaneSession

PING_AFTER_S: Final = 0.25  # without an answer to OPEN
PONG_S: Final = 1.0
UNSENT_S: Final = 60.0  # for which an agent may take nothing of what a use has left behind


class LaneUse(Protocol):
    """Use of a lane by a client, until it is accepted; the client's handler inherits from this.

    Attributes:
        lane: set while the OPEN is unanswered.
    """

    lane: "EdgeLane | None" = None

    def on_accepted(self, lane: "EdgeLane") -> None:
        """Attach the client by `lane.attach(Connection(...))`, at once, since bytes may follow.

        A client that is gone is ended by `lane.end_use(code)` instead.
        """
        ...

    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        """Act on a use that was not accepted.

        Args:
            code: of the agent's REJECT or RESET, or why the lane was lost.
            may_retry: whether the client's bytes may be sent to another lane without happening twice.
        """
        ...


class EdgeLane(Lane):
    """Edge's end of a lane; arguments as of `Lane`, and its session and seal."""

    _unsent_bytes: int = 0  # when the output after a use was last seen to move
    _moved_at: float = 0.0

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        memory: Memory,
        session: "LaneSession",
        seal: LaneSeal,
    ) -> None:
        super().__init__(sock, loop, memory, LaneState(is_edge=True))
        self.session = session
        self.group = session.group
        self._seal = seal
        self._use: LaneUse | None = None
        self._repeatable = False
        self._taken = False  # bytes of the OPEN, by the kernel
        self._pinged = False

    def open(self, content: bytes, use: LaneUse, *, repeatable: bool) -> bool:
        """Send OPEN, and return whether the lane is there still."""
        number = self.state.open()
        self.resting = False
        head = lanes.encode_head(FrameType.OPEN, number, len(content) + SEAL_BYTES)
        self._taken = self.send(head + self._seal.seal(number, head, content)) > 0
        if self.closed:
            return False
        self._use, use.lane = use, self
        self._repeatable = repeatable
        self._pinged = False
        if self.session.silent_lanes:
            self._ping()
        else:
            self.loop.wheel.arm(self, PING_AFTER_S)
        return True

    def cancel(self, code: Code) -> None:
        """Give up the use that is not accepted."""
        self._take_use()
        self.end_use(code)

    def watch_output(self) -> None:
        """Bound the time for what a use has left behind to be taken."""
        self._unsent_bytes, self._moved_at = self.count_unsent(), self.loop.wheel.now
        self.loop.wheel.arm(self, STALL_CHECK_S)

    def _check_output(self) -> None:
        now, left = self.loop.wheel.now, self.count_unsent()
        if left < self._unsent_bytes:
            self._unsent_bytes, self._moved_at = left, now
        if self.is_stalled() or now - self._moved_at >= UNSENT_S:
            self.lose(Code.SESSION_LOST)
        else:
            self.loop.wheel.arm(self, STALL_CHECK_S)

    def _take_use(self) -> LaneUse | None:
        use, self._use = self._use, None
        if use is not None:
            use.lane = None
        return use

    @override
    def on_accept(self) -> None:
        self.session.silent_lanes = 0
        use = self._take_use()
        if use is not None:
            use.on_accepted(self)

    @override
    def on_reject(self, code: Code) -> None:
        self._fail(code, may_retry=True)

    @override
    def on_reset(self, code: Code) -> None:
        self._fail(code, may_retry=self._repeatable)

    def _fail(self, code: Code, *, may_retry: bool) -> None:
        self.session.silent_lanes = 0
        use = self._take_use()
        self.end_use(code)
        if use is not None:
            use.on_failed(code, may_retry=may_retry)

    @override
    def on_idle(self) -> None:
        self.session.release(self)

    @override
    def on_clear(self) -> None:
        if not self.resting:
            super().on_clear()
        elif self in self.session.unsent:
            self.session.unsent.remove(self)
            self.session.release(self)

    @override
    def on_sent(self, count: int) -> None:
        if count:
            self._taken = True

    @override
    def on_deadline(self) -> None:
        """See whether the agent is there: a slow origin lets it answer, a vanished agent does not."""
        if self._use is None:
            if self in self.session.unsent:
                self._check_output()
            return
        if self._pinged:
            self.session.silent_lanes += 1
            self.lose(Code.SESSION_SILENT)
            return
        self._ping()

    def _ping(self) -> None:
        self._pinged = True
        self.loop.wheel.arm(self, PONG_S)
        if self.clear:  # else it has not even taken the OPEN
            self.send_frame(lanes.encode_head(FrameType.PING, 0, PROBE_BYTES) + bytes(PROBE_BYTES))

    @override
    def on_pong(self) -> None:
        self._pinged = False
        self.session.silent_lanes = 0

    @override
    def on_lost(self, code: Code) -> None:
        self.session.forget(self, code)
        use = self._take_use()
        if use is not None:
            use.on_failed(code, may_retry=self._repeatable or not self._taken)
