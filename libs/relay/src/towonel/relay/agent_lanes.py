"""Lanes of an agent's worker: dialed ahead to the edge of each session, and used for its clients.

    AgentLanes dials ──▶ admitted ──▶ OPEN ──▶ AgentLanesOwner.on_open ──▶ AgentUse
                                               lane.accept(connection) | lane.reject(code)

Everything runs in the thread of the loop, and callbacks are made from within it: they may call any method
of this module.
"""

from towonel.relay.connection import Connection
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.wire.errors import Code


class AgentUse:
    """Use of a lane by a client of the edge, while its origin is dialed."""

    def on_cancelled(self, code: Code) -> None:
        """Give up: the client or the lane is gone, and the lane is not to be answered on."""
        raise NotImplementedError


class AgentLane(Lane):
    """Agent's end of a lane.

    Attributes:
        session: the session it belongs to.
        use: set by `on_open`'s result while the OPEN is unanswered.
    """

    session: "AgentLaneSession"
    use: AgentUse | None

    def accept(self, connection: Connection) -> None:
        """Answer OPEN: relay an origin that is connected, whose `Connection` has this lane.

        The client's first bytes are delivered to the connection before. ACCEPT goes with the origin's
        first bytes, after 20 ms without any, or at once if the edge holds more of the client's bytes.
        """
        raise NotImplementedError

    def reject(self, code: Code) -> None:
        """Answer OPEN: no byte of the client has reached the origin, and none will."""
        raise NotImplementedError

    def fail(self, code: Code) -> None:
        """Answer OPEN: the origin failed after bytes of the client may have reached it."""
        raise NotImplementedError


class AgentLanesOwner:
    """Owner of an agent's lanes: told of clients, and of edges that take no lanes."""

    def on_open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        """Dial the origin for a client; return whom to tell if that is given up meanwhile.

        `lane.accept`, `lane.reject` or `lane.fail` answers, also before this returns (then None is
        returned). `content` is for `wire.lane_open.decode`, which may raise; reject MALFORMED then.
        """
        raise NotImplementedError

    def on_lanes_failed(self, session: "AgentLaneSession", code: Code) -> None:
        """Act on three failed admissions in a row, once; dialing goes on, ever more slowly."""
        raise NotImplementedError

    def on_lanes_recovered(self, session: "AgentLaneSession") -> None:
        """Act on a lane that was admitted after `on_lanes_failed`."""
        raise NotImplementedError


class AgentLaneSession:
    """Lanes of one session; made by `AgentLanes.add_session`.

    Attributes:
        idle: lanes that wait for a client.
        in_use: lanes whose use is not over.
        dialing: lanes that are not admitted yet.
        wanted: lanes that the edge wants in all.
        failures: admissions that failed in a row.
    """

    session_id: bytes
    idle: int
    in_use: int
    dialing: int
    wanted: int
    failures: int


class AgentLanes:
    """Lanes of all of an agent's sessions in one worker.

    Args:
        loop: of the worker.
        memory: of the worker.
        owner: told of clients.
        admission_s: how long a lane may take to be connected and admitted.

    Attributes:
        admitted: lanes admitted since the start.
        lost: lanes that were lost since the start, by code.
        failed: admissions that failed since the start, by code.
    """

    admitted: int
    lost: dict[Code, int]
    failed: dict[Code, int]

    def __init__(
        self, loop: Loop, memory: Memory, owner: AgentLanesOwner, *, admission_s: float = 5.0
    ) -> None:
        raise NotImplementedError

    def add_session(  # noqa: PLR0913 what a session is admitted by
        self,
        session_id: bytes,
        secret: bytes,
        *,
        edge_id: bytes,
        certificate_hash: bytes,
        address: tuple[str, int],
    ) -> AgentLaneSession:
        """Keep lanes of a session: two, until the edge says how many; `address` is IP and port."""
        raise NotImplementedError

    def find(self, session_id: bytes) -> AgentLaneSession | None:
        """Return the lanes of a session."""
        raise NotImplementedError

    def set_wanted(self, session_id: bytes, count: int) -> None:
        """Keep so many lanes of a session, at most 512; 0 dials none."""
        raise NotImplementedError

    def go_away(self, session_id: bytes) -> None:
        """Dial no more lanes of a session, and reject clients; uses finish."""
        raise NotImplementedError

    def end_session(self, session_id: bytes, *, cut: bool) -> None:
        """Forget a session: close its idle lanes, and let uses finish or cut them at once."""
        raise NotImplementedError
