"""Load balancer over the sessions that serve a route: the less loaded of two random ones.

That is nearly as even as looking at all of them, and does not send every client of one moment to
the same session. After a failure to open a stream a session cools down for a time that doubles with
each failure in a row, for that service only: the agent may well reach another origin. A session
that cools down is not excluded: it is tried when there is no better one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey

MAX_TRIES = 3  # for one client, before any byte has come back
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0  # an agent whose origin is back is found within this time
# These say nothing about the origin: the session is gone, or its state is known already.
SESSION_CODES = frozenset(
    {Code.SESSION_LOST, Code.SESSION_SILENT, Code.GOING_AWAY, Code.SUPERSEDED}
)

type Draw = Callable[[int], int]  # draw(n): a random number, 0 <= number < n


class Candidate(Protocol):
    """Session, as far as a decision depends on it."""

    @property
    def session_id(self) -> bytes: ...

    @property
    def active(self) -> int:
        """Streams that are open now."""
        ...

    @property
    def is_silent(self) -> bool: ...

    @property
    def going_away(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Cooldown:
    pause_s: float
    until: float


class Balancer:
    """Load balancer that remembers failures by session and service."""

    def __init__(self) -> None:
        self._cooldowns: dict[bytes, dict[ServiceKey, _Cooldown]] = {}  # by session id

    def order[C: Candidate](
        self, service: ServiceKey, candidates: Iterable[C], *, now: float, draw: Draw
    ) -> list[C]:
        """Return up to MAX_TRIES sessions, the one to try first first.

        Args:
            service: what the client wants; all candidates serve it.
            candidates: sessions; those going away are left out.
            now: seconds, monotonic.
            draw: randomness.
        """
        candidates = list(candidates)
        if len(candidates) == 1:
            return [] if candidates[0].going_away else candidates
        ranks: tuple[list[C], list[C], list[C]] = ([], [], [])
        for candidate in candidates:
            if not candidate.going_away:
                ranks[self._rank(service, candidate, now)].append(candidate)
        chosen: list[C] = []
        for rank in ranks:
            while rank and len(chosen) < MAX_TRIES:
                chosen.append(rank.pop(_less_loaded_of_two(rank, draw)))
        return chosen

    def record_failure(self, service: ServiceKey, session_id: bytes, now: float) -> None:
        """Let a session cool down for a service: the more failures in a row, the longer."""
        of_session = self._cooldowns.setdefault(session_id, {})
        before = of_session.get(service)
        # Clients that were under way together are one failure: the pause doubles once.
        if before is not None and now < before.until:
            return
        pause_s = FIRST_PAUSE_S if before is None else min(2 * before.pause_s, MAX_PAUSE_S)
        of_session[service] = _Cooldown(pause_s, now + pause_s)

    def record_success(self, service: ServiceKey, session_id: bytes) -> None:
        """Forget the failures of a session for a service."""
        of_session = self._cooldowns.get(session_id)
        if of_session is not None:
            of_session.pop(service, None)

    def forget(self, session_id: bytes) -> None:
        """Forget a session that has ended."""
        self._cooldowns.pop(session_id, None)

    def _rank(self, service: ServiceKey, candidate: Candidate, now: float) -> int:
        """0 healthy, 1 cooling down, 2 silent: it sends nothing at all."""
        if candidate.is_silent:
            return 2
        cooldown = self._cooldowns.get(candidate.session_id, {}).get(service)
        return 1 if cooldown is not None and now < cooldown.until else 0


def _less_loaded_of_two(candidates: Sequence[Candidate], draw: Draw) -> int:
    if len(candidates) == 1:
        return 0
    first = draw(len(candidates))
    second = draw(len(candidates) - 1)
    second += second >= first
    return min(first, second, key=lambda index: candidates[index].active)
