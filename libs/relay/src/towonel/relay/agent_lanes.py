"""Lanes of an agent's worker: dialed ahead to the edge of each session, and used for its clients.

    AgentLanes dials ──▶ admitted ──▶ OPEN ──▶ AgentLanesOwner.on_open ──▶ AgentUse
                                               lane.accept(connection) | lane.reject(code)

Everything runs in the thread of the loop, and callbacks are made from within it: they may call any method
of this module.
"""

from typing import Final, Protocol, override

from towonel.relay.admission.dial import LaneTarget
from towonel.relay.core.lane_kinds import LaneKind
from towonel.relay.core.lane_pool import LEAST_IDLE, MAX_IDLE
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.sessions.agent import AgentLane, AgentLaneSession
from towonel.relay.sessions.agent_owner import AgentSessionOwner, AgentUse
from towonel.relay.sessions.ended import EndedSessions
from towonel.relay.tls.lane_tls import AgentTls
from towonel.wire.errors import Code

__all__ = [
    "AgentLane",
    "AgentLaneSession",
    "AgentLanes",
    "AgentLanesOwner",
    "AgentUse",
    "LaneKind",
    "LaneTarget",
]

ADMISSION_S: Final = 5.0


class AgentLanesOwner(Protocol):
    """Owner of an agent's lanes: told of clients, and of edges that take no lanes."""

    def on_open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        """Dial the origin for a client; return whom to tell if that is given up meanwhile.

        `lane.accept`, `lane.reject` or `lane.fail` answers, also before this returns. `content` is for
        `wire.lane_open.decode`; reject with the code of what that raises.
        """
        ...

    def on_lanes_failed(self, session: AgentLaneSession, code: Code) -> None:
        """Act on three failed admissions in a row of each kind, once; dialing goes on, ever more slowly."""
        ...

    def on_lanes_working(self, session: AgentLaneSession) -> None:
        """Act on the first lane that works, at all or after failures, reported or not."""
        ...


class AgentLanes(AgentSessionOwner):
    """Lanes of all of an agent's sessions in one worker.

    Args:
        loop: of the worker.
        memory: of the worker.
        owner: told of clients.
        admission_s: how long a lane may take to be connected and admitted.
        max_unsent: as of `EndedSessions`.

    Attributes:
        workers: of the agent, each of which has lanes; the limits of a session are for all together.
        sessions: by id.
        ended: those that are over, and have lanes still.
        admitted: lanes admitted since the start, by kind.
        lost: lanes that were lost since the start, by code; NORMAL if they were closed in order.
        failed: admissions that failed since the start, by code.
    """

    def __init__(
        self,
        loop: Loop,
        memory: Memory,
        owner: AgentLanesOwner,
        *,
        admission_s: float = ADMISSION_S,
        max_unsent: int = MAX_IDLE,
    ) -> None:
        self.workers = 1
        self.sessions: dict[bytes, AgentLaneSession] = {}
        self.admitted = dict.fromkeys(LaneKind, 0)
        self.lost: dict[Code, int] = {}
        self.failed: dict[Code, int] = {}
        self._loop = loop
        self._memory = memory
        self._owner = owner
        self._admission_s = admission_s
        self.ended = EndedSessions[AgentLaneSession](max_unsent)
        self._tls: AgentTls | None = None

    def add_session(self, target: LaneTarget, wanted: int = LEAST_IDLE) -> AgentLaneSession:
        """Keep lanes of a session: so many, until the edge says how many."""
        session = AgentLaneSession(
            target,
            self._loop,
            self._memory,
            self,
            self._admission_s,
            self._get_tls,
            self.workers,
        )
        self.sessions[target.session_id] = session
        session.set_wanted(wanted)
        return session

    def find(self, session_id: bytes) -> AgentLaneSession | None:
        """Return the lanes of a session."""
        return self.sessions.get(session_id)

    def set_wanted(self, session_id: bytes, count: int) -> None:
        """Keep so many lanes of a session; 0 dials none."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.set_wanted(count)

    def go_away(self, session_id: bytes) -> None:
        """Dial no more lanes of a session, and reject clients; uses finish."""
        session = self.sessions.get(session_id)
        if session is not None:
            session.go_away()

    def end_session(self, session_id: bytes, *, cut: Code | None = None) -> None:
        """Forget a session: uses finish, or are cut at once for a code."""
        session = self.sessions.pop(session_id, None)
        if session is not None:
            session.end(cut)
            self.ended.add(session)

    def _get_tls(self) -> AgentTls:
        if self._tls is None:
            self._tls = AgentTls()
        return self._tls

    # Of sessions.

    @override
    def open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        return self._owner.on_open(lane, content)

    @override
    def on_lane_admitted(self, kind: LaneKind) -> None:
        self.admitted[kind] += 1

    @override
    def on_lane_lost(self, code: Code) -> None:
        self.lost[code] = self.lost.get(code, 0) + 1

    @override
    def on_dial_failed(self, session: AgentLaneSession, code: Code, *, is_last: bool) -> None:
        self.failed[code] = self.failed.get(code, 0) + 1
        if is_last:
            self._owner.on_lanes_failed(session, code)

    @override
    def on_dial_refused(self, code: Code) -> None:
        self.failed[code] = self.failed.get(code, 0) + 1

    @override
    def on_working(self, session: AgentLaneSession) -> None:
        self._owner.on_lanes_working(session)
