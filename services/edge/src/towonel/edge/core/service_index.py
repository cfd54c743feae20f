"""Index of a tenant's sessions by service, which holds what is equal once.

Replicas announce the same services, so sessions are kept by the set that they announce, and sets by
service: a thousand services of a hundred replicas take the memory of a thousand.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from towonel.wire.names import ServiceKey


@dataclass(eq=False, slots=True)
class _Announcement[S]:
    """Set of services, and the sessions that announced it, by id."""

    services: frozenset[ServiceKey]
    sessions: dict[bytes, S] = field(default_factory=dict[bytes, S])


class ServiceIndex[S]:
    """Index of the sessions of one tenant."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, S] = {}
        self._announcements: dict[frozenset[ServiceKey], _Announcement[S]] = {}
        self._serving: dict[ServiceKey, tuple[ServiceKey, list[_Announcement[S]]]] = {}

    @property
    def sessions(self) -> Collection[S]:
        """Every session."""
        return self._sessions.values()

    def find(self, service: ServiceKey) -> Collection[S]:
        """Return the sessions that serve a service."""
        _, serving = self._serving.get(service, (service, ()))
        if len(serving) == 1:
            return serving[0].sessions.values()
        return [session for each in serving for session in each.sessions.values()]

    def count_with(self, services: Iterable[ServiceKey]) -> int:
        """Return how many different services there were with these."""
        return len(self._serving) + len({key for key in services if key not in self._serving})

    def add(self, session_id: bytes, services: frozenset[ServiceKey], session: S) -> None:
        """Add a session that serves these services."""
        announcement = self._announcements.get(services) or self._announce(services)
        announcement.sessions[session_id] = session
        self._sessions[session_id] = session

    def get_held(self, services: frozenset[ServiceKey]) -> frozenset[ServiceKey]:
        """Return the set that is held here and equals one of a session that was added."""
        return self._announcements[services].services

    def remove(self, session_id: bytes, services: frozenset[ServiceKey]) -> None:
        """Remove a session that was added with these services."""
        del self._sessions[session_id]
        announcement = self._announcements[services]
        del announcement.sessions[session_id]
        if not announcement.sessions:
            self._withdraw(announcement)

    def _announce(self, services: frozenset[ServiceKey]) -> _Announcement[S]:
        entries = [self._serving.setdefault(key, (key, [])) for key in services]
        announcement = _Announcement[S](frozenset(key for key, _ in entries))
        for _, serving in entries:
            serving.append(announcement)
        self._announcements[announcement.services] = announcement
        return announcement

    def _withdraw(self, announcement: _Announcement[S]) -> None:
        del self._announcements[announcement.services]
        for service in announcement.services:
            _, serving = self._serving[service]
            serving.remove(announcement)
            if not serving:
                del self._serving[service]
