"""Feed of the agents' sessions to workers."""

from collections.abc import Callable, Iterable
from itertools import batched
from typing import Final, override

from towonel.edge.sessions import SessionObserver
from towonel.edge.worker.messages import (
    Message,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionServices,
)
from towonel.tunnel.session import Session
from towonel.wire.errors import Code

SERVICES_AT_ONCE: Final = 200  # in one message, some 50 KiB at their longest
# After these, clients on the session's lanes must not go on either.
CUTTING: Final = frozenset(
    {Code.TENANT_REVOKED, Code.TENANT_SUSPENDED, Code.GRANT_EXPIRED, Code.GRANT_FOREIGN}
)


class SessionFeed(SessionObserver):
    """Feed of sessions as they begin and end.

    Args:
        tell: sends a message to all workers.
        forget: is called with the id of a session that has ended.

    Attributes:
        sessions: those that are live, by id.
    """

    def __init__(self, tell: Callable[[Message], None], forget: Callable[[bytes], None]) -> None:
        self.sessions: dict[bytes, Session] = {}
        self._tell = tell
        self._forget = forget

    @override
    def on_admitted(self, session: Session) -> None:
        self.sessions[session.session_id] = session
        for message in describe(session):
            self._tell(message)

    @override
    def on_going_away(self, session: Session) -> None:
        self._tell(SessionGoingAway(session.session_id))

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        self._tell(SessionEnded(session.session_id, code if code in CUTTING else None))
        self.sessions.pop(session.session_id, None)
        self._forget(session.session_id)


def describe(session: Session) -> Iterable[Message]:
    """Yield what a worker is to know of a session."""
    secret, rtt_s = session.lane_secret or b"", session.connection.rtt_s
    yield SessionAdmitted(session.session_id, session.tenant_id, secret, rtt_s, session.agent_id)
    for some in batched(sorted(map(str, session.services)), SERVICES_AT_ONCE, strict=False):
        yield SessionServices(session.session_id, list(some))
    if session.going_away:
        yield SessionGoingAway(session.session_id)
