"""Edge's lanes of one session: its pool, and the clients that wait for a lane."""

from math import ceil
from typing import Protocol

from towonel.relay.core.lane_counts import NO_LANES, NO_SLOT, LaneCounts, LaneSums
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import MAX_IDLE, LanePool, lane_wait_s
from towonel.relay.loop import TurnGroup
from towonel.relay.sessions.edge_lane import EdgeLane, LaneUse
from towonel.relay.sessions.waiting_room import WaitingRoom
from towonel.wire.errors import Code


class SessionOwner(Protocol):
    """Owner of sessions' lanes: told what there is to count, and of growing demand."""

    def on_demand(self, session: "LaneSession") -> None:
        """Act on a client that found no idle lane."""
        ...

    def on_lane_lost(self, session: "LaneSession", code: Code) -> None:
        """Count a lane that is closed; NORMAL if it was idle, and closed by this side."""
        ...


class LaneSession(WaitingRoom):
    """Lanes of one session, and the waiting room for them; made by `EdgeLanes.add_session`.

    Attributes:
        session_id: of the session.
        rtt_s: may be set whenever a better measure is known.
        tls_only: whether lanes are admitted inside TLS only; may be set before the first one.
        going_away: whether no use may be opened any more.
        idle: idle lanes, the last used one last; to be read only.
        busy: lanes whose use is not over; to be read only.
        unsent: lanes whose use is over, and whose agent has not taken all of it; to be read only.
        slot: its place in the counts of lanes of all workers.
        silent_lanes: lanes that were lost because nothing was answered, since any lane was answered last.
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
        self.tls_only = False
        self.going_away = False
        self.silent_lanes = 0
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

    def add(self, lane: EdgeLane) -> None:
        """Take a lane that was admitted; admission bounds how many are idle."""
        self.silent_lanes = 0
        self._inside_tls += lane.kind is LaneKind.TLS
        self._offer(lane)

    def release(self, lane: EdgeLane) -> None:
        """Take a lane back after its use; one that has still to send waits until it has."""
        self.busy.discard(lane)
        if not lane.clear:
            self.unsent.add(lane)
            lane.watch_output()
        elif self.going_away or (len(self.idle) >= self._part and self.spare >= MAX_IDLE):
            lane.retire()
        else:
            self._offer(lane)

    def _offer(self, lane: EdgeLane) -> None:
        self.idle.append(lane)
        waiter = self.take_next() if self.waits else None
        if waiter is not None:
            waiter.on_lane(self)
        if self._is_shared:
            self._counts.put_used(self.slot, len(self.idle), self.in_use)

    def forget(self, lane: EdgeLane, code: Code) -> None:
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
