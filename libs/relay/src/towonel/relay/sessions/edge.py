"""Edge's lanes of one session: its pool, and what clients use them for."""

import socket
from math import ceil
from typing import Final, override

from towonel.identity.lanes import SEAL_BYTES, LaneSeal
from towonel.relay.core.lane_counts import NO_LANES, NO_SLOT, LaneCounts, LaneSums
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import MAX_IDLE, LanePool, lane_wait_s
from towonel.relay.core.lane_state import LaneState
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop, TurnGroup
from towonel.relay.memory import Memory
from towonel.relay.sessions.waiting_room import WaitingRoom
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import PROBE_BYTES, FrameType

PING_AFTER_S: Final = 0.25  # without an answer to OPEN
PONG_S: Final = 1.0


class LaneUse:
    """Use of a lane by a client, until it is accepted; the client's handler inherits from this.

    Attributes:
        lane: set while the OPEN is unanswered.
    """

    lane: "EdgeLane | None" = None

    def on_accepted(self, lane: "EdgeLane") -> None:
        """Attach the client by `lane.attach(Connection(...))`, at once, since bytes may follow.

        A client that is gone is ended by `lane.end_use(code)` instead.
        """
        raise NotImplementedError

    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        """Act on a use that was not accepted.

        Args:
            code: of the agent's REJECT or RESET, or why the lane was lost.
            may_retry: whether the client's bytes may be sent to another lane without happening twice.
        """
        raise NotImplementedError


class SessionOwner:
    """Owner of sessions' lanes: told what there is to count, and of growing demand."""

    def on_demand(self, session: "LaneSession") -> None:
        """Act on a client that found no idle lane."""
        raise NotImplementedError

    def on_lane_lost(self, session: "LaneSession", code: Code) -> None:
        """Count a lane that is closed; NORMAL if it was idle, and closed by this side."""
        raise NotImplementedError


class LaneSession(WaitingRoom):
    """Lanes of one session, and the waiting room for them; made by `EdgeLanes.add_session`.

    Attributes:
        session_id: of the session.
        rtt_s: may be set whenever a better measure is known.
        going_away: whether no use may be opened any more.
        idle: idle lanes, the last used one last; to be read only.
        busy: lanes whose use is not over; to be read only.
        unsent: lanes whose use is over, and whose agent has not taken all of it; to be read only.
        slot: its place in the counts of lanes of all workers.
        group: whose turns of bulk its lanes and clients take.
    """

    def __init__(
        self,
        session_id: bytes,
        secret: bytes,
        rtt_s: float,
        pool: LanePool,
        owner: SessionOwner,
        counts: LaneCounts,
        slot: int,
    ) -> None:
        super().__init__()
        self.group = TurnGroup()
        self.session_id = session_id
        self.secret = secret
        self.rtt_s = rtt_s
        self.going_away = False
        self.idle: list[EdgeLane] = []
        self.busy: set[EdgeLane] = set()
        self.unsent: set[EdgeLane] = set()
        self.pool = pool
        self.slot = slot
        self._owner = owner
        self._counts = counts
        self._is_shared = not counts.is_alone and slot != NO_SLOT
        self._part = ceil(MAX_IDLE / counts.workers)  # of the idle lanes there may be
        self._inside_tls = 0

    @property
    def in_use(self) -> int:
        """Lanes that no client can get now."""
        return len(self.busy) + len(self.unsent)

    @property
    def spare(self) -> int:
        """Lanes that have no client, in all workers."""
        own = len(self.idle) + len(self.unsent)
        return own + self._counts.count_spare_elsewhere(self.slot) if self._is_shared else own

    @property
    def wanted(self) -> int:
        """Lanes that this worker wants in all."""
        return 0 if self.going_away else self.pool.wanted

    @property
    def wait_s(self) -> float:
        """How long a client waits for a lane."""
        return lane_wait_s(self.rtt_s)

    def open(self, content: bytes, use: LaneUse, *, repeatable: bool) -> bool:
        """Send OPEN on the lane that was used last, and return whether there was an idle one.

        The answer is a call of `use`, after this has returned.

        Args:
            content: of `wire.lane_open.encode`.
            use: told what the agent answers.
            repeatable: whether the client's bytes are a ClientHello without early data, which may
                reach two origins without harm.
        """
        idle = self.idle
        while idle:
            lane = idle.pop()
            self.busy.add(lane)
            if lane.open(content, use, repeatable=repeatable):
                if self._is_shared:
                    self._counts.put_used(self.slot, len(idle), self.in_use)
                return True
        if not self.going_away:
            self._owner.on_demand(self)
        return False

    def cancel(self, use: LaneUse, code: Code) -> None:
        """Give up a use that is not accepted; its handler is told nothing more."""
        lane = use.lane
        if lane is not None:
            lane.cancel(code)

    # Of its lanes.

    def add(self, lane: "EdgeLane") -> None:
        """Take a lane that was admitted; admission bounds how many are idle."""
        self._inside_tls += lane.kind is LaneKind.TLS
        self._offer(lane)

    def release(self, lane: "EdgeLane") -> None:
        """Take a lane back after its use; one that has still to send waits until it has."""
        self.busy.discard(lane)
        if not lane.clear:
            self.unsent.add(lane)
        elif self.going_away or (len(self.idle) >= self._part and self.spare >= MAX_IDLE):
            lane.retire()
        else:
            self._offer(lane)

    def _offer(self, lane: "EdgeLane") -> None:
        self.idle.append(lane)
        waiter = self.take_next() if self.waits else None
        if waiter is not None:
            waiter.on_lane(self)
        if self._is_shared:
            self._counts.put_used(self.slot, len(self.idle), self.in_use)

    def forget(self, lane: "EdgeLane", code: Code) -> None:
        """Drop a lane that is closed."""
        if lane in self.busy:
            self.busy.remove(lane)
        elif lane in self.unsent:
            self.unsent.remove(lane)
        elif lane in self.idle:
            self.idle.remove(lane)
        self._inside_tls -= lane.kind is LaneKind.TLS
        if self._is_shared:
            self._counts.put_used(self.slot, len(self.idle), self.in_use)
        self._owner.on_lane_lost(self, code)

    def put_counts(self) -> None:
        """Tell how many lanes there are."""
        self._counts.put(
            self.slot,
            LaneSums(len(self.idle), self.in_use, self.wanted, len(self.unsent), self._inside_tls),
        )

    def leave_counts(self) -> None:
        """Give its place in the counts back: the session is over, though uses may go on."""
        self._counts.put(self.slot, NO_LANES)
        self.slot, self._is_shared = NO_SLOT, False

    def go_away(self) -> None:
        """Close idle lanes, and each other one after its use; clients that wait are sent on."""
        self.going_away = True
        self.close_idle(len(self.idle))
        self.clear()

    def close_idle(self, count: int) -> None:
        """Close so many idle lanes, those first that were used longest ago."""
        for lane in self.idle[:count]:
            lane.retire()

    def cut(self, code: Code) -> None:
        """Close all lanes at once, and reset their clients."""
        self.go_away()
        for lane in [*self.busy, *self.unsent]:
            lane.cut(code)


class EdgeLane(Lane):
    """Edge's end of a lane; arguments as of `Lane`, and its session and seal."""

    def __init__(
        self, sock: socket.socket, loop: Loop, memory: Memory, session: LaneSession, seal: LaneSeal
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
        self.loop.wheel.arm(self, PING_AFTER_S)
        return True

    def cancel(self, code: Code) -> None:
        """Give up the use that is not accepted."""
        self._take_use()
        self.end_use(code)

    def _take_use(self) -> LaneUse | None:
        use, self._use = self._use, None
        if use is not None:
            use.lane = None
        return use

    @override
    def on_accept(self) -> None:
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
            return
        if self._pinged:
            self.lose(Code.SESSION_LOST)
            return
        self._pinged = True
        self.loop.wheel.arm(self, PONG_S)
        if self.clear:  # else it has not even taken the OPEN
            self.send_frame(lanes.encode_head(FrameType.PING, 0, PROBE_BYTES) + bytes(PROBE_BYTES))

    @override
    def on_pong(self) -> None:
        self._pinged = False

    @override
    def on_lost(self, code: Code) -> None:
        self.session.forget(self, code)
        use = self._take_use()
        if use is not None:
            use.on_failed(code, may_retry=self._repeatable or not self._taken)
