"""Ways of sessions: how clients of each reach its agent now, and why not by lanes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from towonel.edge.core.access_log import Way

type Reason = Literal["none_came", "lost", "not_wanted"]

NONE_CAME: Final = "none_came"  # no lane since the session began
LOST: Final = "lost"  # all lanes there were
NOT_WANTED: Final = "not_wanted"  # the session takes no more clients, or no worker runs


class Lanes(NamedTuple):
    """Lanes of a session in all workers."""

    idle: int
    in_use: int
    wanted: int
    inside_tls: int = 0


NO_LANES: Final = Lanes(0, 0, 0)


@dataclass(frozen=True, slots=True)
class SessionWay:
    """Way of a session's clients, None where there is none; there is no reason for lanes."""

    way: Way | None
    reason: Reason | None
    lanes: Lanes


class SessionWays:
    """Ways of sessions, which remember who had lanes before."""

    def __init__(self) -> None:
        self._had_lanes: set[bytes] = set()

    def find(self, session_id: bytes, lanes: Lanes, *, has_streams: bool = True) -> SessionWay:
        """Return the way of a session with so many lanes now: the kind of most of them."""
        count = lanes.idle + lanes.in_use
        if count:
            self._had_lanes.add(session_id)
            way = Way.TLS_LANE if 2 * lanes.inside_tls > count else Way.LANE
            return SessionWay(way, None, lanes)
        reason: Reason = NOT_WANTED
        if lanes.wanted:
            reason = LOST if session_id in self._had_lanes else NONE_CAME
        return SessionWay(Way.STREAM if has_streams else None, reason, lanes)

    def keep(self, sessions: Collection[bytes]) -> None:
        """Forget sessions that are none of these."""
        self._had_lanes.intersection_update(sessions)
