"""Sessions that have ended, whose lanes go on until their uses are over, and the peer has taken all of them.

A peer that does not read keeps such a lane for nothing, and can open the next session meanwhile.
"""

from collections.abc import Collection
from typing import Protocol

from towonel.relay.core.lane_pool import MAX_IDLE
from towonel.relay.lane import Lane
from towonel.wire.errors import Code


class EndedSession(Protocol):
    """Session that has ended."""

    @property
    def in_use(self) -> int:
        """Lanes that are not closed."""
        ...

    @property
    def unsent(self) -> Collection[Lane]:
        """Lanes whose use is over, and whose peer has not taken all of it."""
        ...


class EndedSessions[S: EndedSession]:
    """Sessions that have ended.

    Args:
        max_unsent: lanes that nobody reads, of all of them; those of the first sessions are closed first.
    """

    def __init__(self, max_unsent: int = MAX_IDLE) -> None:
        self._max_unsent = max_unsent
        self._sessions: dict[S, None] = {}

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def add(self, session: S) -> None:
        """Look after the lanes of a session that has ended now."""
        if session.in_use:
            self._sessions[session] = None
        if session.unsent:
            self.drop_unsent()

    def drop_unsent(self) -> None:
        """Close lanes beyond the limit, and forget sessions that have none."""
        self._sessions = dict.fromkeys(each for each in self._sessions if each.in_use)
        count = sum(len(each.unsent) for each in self._sessions)
        for session in self._sessions:
            if count <= self._max_unsent:
                return
            unsent = session.unsent
            count -= len(unsent)
            for lane in list(unsent):
                lane.lose(Code.LIMIT_EXCEEDED)
