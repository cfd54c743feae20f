"""Lanes of an edge's worker: their admission, the pool of each session, and the clients that wait.

    accept ── first byte 0xF7 ──▶ EdgeLanes.admit ──▶ LaneSession.idle
           ── TLS, by ALPN ─────▶ EdgeLanes.admit_tls ──┘
    client ── LaneSession.open ──▶ LaneUse.on_accepted: relay  |  LaneUse.on_failed: retry, or refuse

Everything runs in the thread of the loop, and callbacks are made from within it: they may call any method
of this module.
"""

import math
from array import array
from collections.abc import Sequence
from socket import SocketType
from typing import Final, Protocol, override

from towonel.identity.lanes import LaneSeal
from towonel.relay.admission.half_open import Admitter, HalfOpenLane, send_refusal
from towonel.relay.core.lane_counts import NO_SLOT, LaneCounts
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import MAX_IDLE, LanePool
from towonel.relay.loop import Handler, Loop, TurnGroup
from towonel.relay.memory import Memory
from towonel.relay.sessions.edge import LaneSession, SessionOwner
from towonel.relay.sessions.edge_lane import EdgeLane, LaneUse
from towonel.relay.sessions.ended import EndedSessions
from towonel.relay.sessions.waiting_room import Wait, Waiter
from towonel.relay.tls.lane_tls import EdgeTls
from towonel.wire.errors import Code

__all__ = ["EdgeLane", "EdgeLanes", "EdgeLanesOwner", "LaneSession", "LaneUse", "Waiter"]

MAX_HALF_OPEN: Final = 256
ADMISSION_S: Final = 5.0
_UPDATE_S: Final = 1.0
_UPDATED_AT_ONCE: Final = 32  # sessions: up to a millisecond, where there are several workers


class EdgeLanesOwner(Protocol):
    """Owner of an edge's lanes: told what control or the accepting side has to know."""

    def on_wanted(self, session: LaneSession) -> None:
        """Tell the agent, by control, how many lanes `session.wanted` is now."""
        ...

    def on_settled(self, source: object) -> None:
        """Act on the end of an admission, granted or not: `source` counts as a client no more."""
        ...


class EdgeLanes(Admitter, SessionOwner):
    """Lanes of all sessions in one worker.

    Args:
        loop: of the worker.
        memory: of the worker.
        owner: told what control has to know.
        edge_id: 32 bytes, the edge's key.
        certificate_hash: SHA-256 of the certificate that sessions are opened under.
        tls: of lanes inside TLS; None where none are admitted.
        counts: of lanes in all workers.
        workers: how many there are.
        admission_s: how long an admission may take in all.
        max_half_open: lanes that are not admitted yet, at most.
        max_unsent: as of `EndedSessions`.

    Attributes:
        sessions: by id.
        ended: those that are over, and have lanes still.
        half_open: lanes that are not admitted yet.
        admitted: lanes admitted since the start, by kind.
        lost: lanes that were lost since the start, by code; NORMAL if they were closed in order.
        refused: admissions refused since the start, by code.
    """

    def __init__(
        self,
        loop: Loop,
        memory: Memory,
        owner: EdgeLanesOwner,
        *,
        edge_id: bytes,
        certificate_hash: bytes,
        tls: EdgeTls | None = None,
        counts: LaneCounts | None = None,
        workers: int = 1,
        admission_s: float = ADMISSION_S,
        max_half_open: int = MAX_HALF_OPEN,
        max_unsent: int = MAX_IDLE,
    ) -> None:
        self.edge_id = edge_id
        self.certificate_hash = certificate_hash
        self.sessions: dict[bytes, LaneSession] = {}
        self.half_open: set[HalfOpenLane] = set()
        self.admitted = dict.fromkeys(LaneKind, 0)
        self.lost: dict[Code, int] = {}
        self.refused: dict[Code, int] = {}
        self._loop = loop
        self._memory = memory
        self._owner = owner
        self._tls = tls
        self._workers = workers
        self.counts = counts or LaneCounts([memoryview(array("I", [0]))], 0)
        self._admission_s = admission_s
        self._max_half_open = max_half_open
        self.ended = EndedSessions[LaneSession](max_unsent)
        self._update = _Update(self, loop)

    def add_session(
        self,
        session_id: bytes,
        secret: bytes,
        rtt_s: float,
        group: TurnGroup | None = None,
        slot: int = NO_SLOT,
    ) -> LaneSession:
        """Admit lanes of a session from now on, and return its pool.

        Args:
            session_id: of the session.
            secret: the session's lane secret.
            rtt_s: round-trip time, as far as it is known.
            group: of sessions that share turns of bulk, which are a tenant's.
            slot: its place in the counts of lanes.
        """
        pool = LanePool(self._workers, self._loop.wheel.now)
        session = LaneSession(session_id, secret, rtt_s, pool, self, self.counts, slot)
        session.group = group or session.group
        self.sessions[session_id] = session
        if not self._update.due:
            self._loop.wheel.arm(self._update, _UPDATE_S)
        self._owner.on_wanted(session)
        return session

    @override
    def find(self, session_id: bytes) -> LaneSession | None:
        return self.sessions.get(session_id)

    def go_away(self, session_id: bytes) -> None:
        """Close the idle lanes of a session, open no use on it, and let its uses finish."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.go_away()

    def end_session(self, session_id: bytes, *, cut: Code | None = None) -> None:
        """Forget a session: uses finish, or are cut at once for a code (revoked, suspended, expired)."""
        session = self.sessions.pop(session_id, None)
        if session is None:
            return
        session.leave_counts()
        session.go_away()
        if cut is not None:
            session.cut(cut)
        self.ended.add(session)

    def admit(self, sock: SocketType, data: bytes, source: object) -> None:
        """Admit the lane that a connection begins, or refuse it.

        Args:
            sock: non-blocking, in no loop; it belongs to this from now on.
            data: bytes that were read of it, up to `HELLO_BYTES`; the first one is 0xF7.
            source: given to `on_settled`.
        """
        if self._is_full():
            send_refusal(sock, Code.OVERLOADED)
            self._refuse(sock, Code.OVERLOADED, source)
            return
        half = HalfOpenLane(sock, self._loop, self, data, source)
        self.half_open.add(half)
        self.counts.put_half_open(len(self.half_open))
        half.start(self._admission_s)

    def admit_tls(self, sock: SocketType, data: bytes, source: object) -> None:
        """Admit the lane that a TLS connection begins, or refuse it.

        Args:
            sock: as of `admit`.
            data: bytes that were read of it: the ClientHello, which offers the lanes' protocol.
            source: as of `admit`.
        """
        if self._tls is None:
            self._refuse(sock, Code.UNSUPPORTED_VERSION, source)
        elif self._is_full():
            self._refuse(sock, Code.OVERLOADED, source)
        else:
            self.admit(self._tls.wrap(sock, data), b"", source)

    def _is_full(self) -> bool:
        return len(self.half_open) + self.counts.half_open_elsewhere >= self._max_half_open

    def _refuse(self, sock: SocketType, code: Code, source: object) -> None:
        sock.close()
        self._count(self.refused, code)
        self._owner.on_settled(source)

    def wait(
        self, sessions: Sequence[LaneSession], waiter: Waiter, look_s: float = math.inf
    ) -> bool:
        """Wait for a lane of any of the sessions for 3 RTT + 50 ms, 100 ms to 1 s.

        It is waited for so long again while others get lanes who came before, up to 5 s in all. Every
        `look_s` and at the end the waiter looks for a lane elsewhere.

        Returns: False if no session has room for it; the waiter is told nothing then.
        """
        rooms = [s for s in sessions if not s.is_full and not s.going_away]
        if not rooms:
            return False
        Wait(waiter, rooms, self._loop.delays, max(room.wait_s for room in rooms), look_s)
        for room in rooms:
            self.on_demand(room)
        return True

    def stop_waiting(self, waiter: Waiter) -> None:
        """Forget a waiter, whose client is gone."""
        if waiter.wait is not None:
            waiter.wait.end()

    def close_idle(self) -> None:
        """Close idle and half-open lanes for good, and each other one after its use."""
        for half in list(self.half_open):
            half.refuse(Code.DRAINING)
        for session in self.sessions.values():
            session.go_away()

    # Of half-open lanes and sessions.

    @override
    def on_admitted(self, half: HalfOpenLane, session: LaneSession, seal: LaneSeal) -> None:
        self._settle(half)
        lane = EdgeLane(half.sock, self._loop, self._memory, session, seal)
        self.admitted[lane.kind] += 1
        self._loop.replace(lane.descriptor, lane)
        session.add(lane)
        lane.on_readable()

    @override
    def on_refused(self, half: HalfOpenLane, code: Code) -> None:
        self._settle(half)
        self._count(self.refused, code)

    @override
    def on_demand(self, session: LaneSession) -> None:
        now = self._loop.wheel.now
        if session.pool.update(
            in_use=session.in_use, waiting=len(session.waits), rtt_s=session.rtt_s, now=now
        ):
            self._owner.on_wanted(session)

    @override
    def on_lane_lost(self, session: LaneSession, code: Code) -> None:
        self._count(self.lost, code)

    def update_pool(self, session: LaneSession) -> None:
        """Look at the demand of a session, and close what it does not want any more."""
        if not session.going_away:
            self.on_demand(session)
            session.close_idle(self._count_surplus(session, self._loop.wheel.now))
            session.put_counts()

    def _count_surplus(self, session: LaneSession, now: float) -> int:
        elsewhere = self.counts.sum_elsewhere(session.slot).wanted
        if not session.pool.is_settled(elsewhere, now):
            return 0
        count = len(session.idle) + session.in_use
        return self.counts.share_surplus(session.slot, count, session.wanted)

    def _settle(self, half: HalfOpenLane) -> None:
        self.half_open.discard(half)
        self.counts.put_half_open(len(self.half_open))
        self._owner.on_settled(half.source)

    def _count(self, counts: dict[Code, int], code: Code) -> None:
        counts[code] = counts.get(code, 0) + 1


class _Update(Handler):
    """Update of all pools each second, of a few in a turn: there may be thousands."""

    def __init__(self, lanes: EdgeLanes, loop: Loop) -> None:
        self._lanes = lanes
        self._loop = loop
        self._left: list[LaneSession] = []

    @override
    def expire(self) -> None:
        self._left = self._left or list(self._lanes.sessions.values())
        self._lanes.ended.drop_unsent()
        if self._left or self._lanes.ended:
            self._loop.wheel.arm(self, _UPDATE_S)
            self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        for session in self._left[-_UPDATED_AT_ONCE:]:
            self._lanes.update_pool(session)
        del self._left[-_UPDATED_AT_ONCE:]
        return bool(self._left)
