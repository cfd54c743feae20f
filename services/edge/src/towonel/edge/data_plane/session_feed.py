"""Feed of the agents' sessions to workers."""

from collections.abc import Callable, Iterable, Iterator
from itertools import batched, chain
from typing import Final, override

from towonel.edge.core.session_ways import NO_LANES, Lanes
from towonel.edge.data_plane.shared_memory import SharedMemory
from towonel.edge.sessions import SessionObserver
from towonel.edge.worker.messages import (
    Message,
    SessionAdmitted,
    SessionEnded,
    SessionGoingAway,
    SessionServices,
    SessionWeight,
)
from towonel.relay.core.lane_counts import NO_SLOT
from towonel.tunnel.session import Session
from towonel.wire.errors import Code
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints

SERVICES_AT_ONCE: Final = 200  # in one message, some 50 KiB at their longest
# After these, clients on the session's lanes must not go on either.
CUTTING: Final = frozenset(
    {
        Code.TENANT_REVOKED,
        Code.TENANT_SUSPENDED,
        Code.GRANT_EXPIRED,
        Code.GRANT_FOREIGN,
        Code.EDGE_UNKNOWN,  # this edge is revoked
    }
)


class SessionFeed(SessionObserver):
    """Feed of sessions as they begin and end.

    Args:
        tell: sends a message to all workers.
        forget: is called with the id of each pool of lanes of a session that has ended.

    Attributes:
        sessions: those that are live, by id.
    """

    def __init__(self, tell: Callable[[Message], None], forget: Callable[[bytes], None]) -> None:
        self.sessions: dict[bytes, Session] = {}
        self._memory: SharedMemory | None = None
        self._slots: dict[bytes, int] = {}
        self._free_slots: list[int] = []
        self._tell = tell
        self._forget = forget

    @override
    def on_admitted(self, session: Session) -> None:
        self.sessions[session.session_id] = session
        if self._free_slots:
            self._slots[session.session_id] = self._free_slots.pop()
        for message in self._describe(session):
            self._tell(message)

    @override
    def on_going_away(self, session: Session) -> None:
        self._tell(SessionGoingAway(session.session_id))

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        session_id, after = session.session_id, session.services
        if session.hints.weight != hints.weight:
            self._tell(SessionWeight(session_id, session.hints.weight))
        marked = session.hints.find_marked_anew(hints) & after
        for message in _describe_services(session, (after - before) | marked):
            self._tell(message)
        for some in _batch(before - after):
            self._tell(SessionServices(session_id, some, ended=True))

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        self._tell(SessionEnded(session.session_id, code if code in CUTTING else None))
        self.sessions.pop(session.session_id, None)
        slot = self._slots.pop(session.session_id, NO_SLOT)
        if slot != NO_SLOT:
            self._free_slots.append(slot)
        for pool_id in (session.session_id, tls_pool_id(session.session_id)):
            self._forget(pool_id)

    def find_pool(self, pool_id: bytes) -> tuple[Session, bool] | None:
        """Return the session of a pool of lanes, and whether it is the one inside TLS."""
        session = self.sessions.get(pool_id)
        if session is not None:
            return session, False
        session = self.sessions.get(tls_pool_id(pool_id))
        return None if session is None else (session, True)

    def share(self, memory: SharedMemory) -> None:
        """Give sessions that are admitted from now on a place in what workers share."""
        self._memory = memory
        self._free_slots = list(range(memory.sessions))[::-1]

    def count_lanes(self, session_id: bytes) -> Lanes:
        """Return a session's lanes in all workers, a second ago at most."""
        slot = self._slots.get(session_id, NO_SLOT)
        if self._memory is None:
            return NO_LANES
        found = self._memory.count_lanes(slot)
        return Lanes(found.idle, found.in_use, found.wanted, found.inside_tls)

    def describe_all(self) -> Iterator[Message]:
        """Yield what a worker that starts is to know."""
        return chain.from_iterable(map(self._describe, self.sessions.values()))

    def _describe(self, session: Session) -> Iterable[Message]:
        """Yield what a worker is to know of a session."""
        yield SessionAdmitted(
            session.session_id,
            session.tenant_id,
            session.lane_secret or b"",
            session.connection.rtt_s,
            session.has_streams,
            session.agent_id,
            self._slots.get(session.session_id, NO_SLOT),
            session.group,
            session.hints.weight,
        )
        yield from _describe_services(session, session.services)
        if session.going_away:
            yield SessionGoingAway(session.session_id)


def _describe_services(
    session: Session, services: Iterable[ServiceKey]
) -> Iterator[SessionServices]:
    for (failing, sticky), keys in session.hints.split(services).items():
        for some in _batch(keys):
            yield SessionServices(session.session_id, some, failing=failing, sticky=sticky)


def _batch(services: Iterable[ServiceKey]) -> Iterator[list[str]]:
    """Yield services as they travel, as many as one message takes."""
    return map(list, batched(sorted(map(str, services)), SERVICES_AT_ONCE, strict=False))
