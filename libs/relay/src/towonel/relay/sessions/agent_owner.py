"""Owner of an agent's lanes of one session, as that tells it what happens, and use of a lane by a client."""

from typing import TYPE_CHECKING, Protocol

from towonel.relay.core.lane_kinds import LaneKind
from towonel.wire.errors import Code

if TYPE_CHECKING:
    from towonel.relay.sessions.agent import AgentLane, AgentLaneSession


class AgentUse(Protocol):
    """Use of a lane by a client of the edge, while its origin is dialed."""

    def on_cancelled(self, code: Code) -> None:
        """Give up: the client or the lane is gone, and nothing is to be answered."""
        ...


class AgentSessionOwner(Protocol):
    """Owner of sessions' lanes: told of clients, and of what there is to count and report."""

    def open(self, lane: "AgentLane", content: bytes) -> AgentUse | None:
        """Dial the origin for a client; return whom to tell if that is given up meanwhile."""
        ...

    def on_lane_admitted(self, kind: LaneKind) -> None:
        """Count a lane."""
        ...

    def on_lane_lost(self, code: Code) -> None:
        """Count a lane that is closed."""
        ...

    def on_dial_failed(self, session: "AgentLaneSession", code: Code, *, is_last: bool) -> None:
        """Count an admission that failed, and report it if it is the last before streams take over."""
        ...

    def on_dial_refused(self, code: Code) -> None:
        """Count an admission that the edge had no room for."""
        ...

    def on_working(self, session: "AgentLaneSession") -> None:
        """Act on the first lane that works, at all or after failures."""
        ...
