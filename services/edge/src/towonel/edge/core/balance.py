"""Load balancer over the sessions that serve a route: a group by its weight, then the less loaded of two of it.

Two random ones are nearly as even as looking at all of them, and do not send every client of one moment
to the same session. After a failure to open a stream a session cools down for a time that doubles with
each failure in a row, for that service only: the agent may well reach another origin. A session
that cools down is not excluded, nor one whose origin fails its check: it is tried when there is no better one.

Where clients are to stay with one agent, the draw is a hash of the client and the group, and of the client and
the agent (rendezvous hashing): where an agent comes, it takes its share of the others' clients; where one
leaves, its clients are shared out, and no other moves.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Protocol

from towonel.wire.errors import Code
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints

MAX_TRIES = 3  # for one client, before any byte has come back
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0  # an agent whose origin is back is found within this time
# These say nothing about the origin: the session is gone, or its state is known already.
SESSION_CODES = frozenset(
    {Code.SESSION_LOST, Code.SESSION_SILENT, Code.GOING_AWAY, Code.SUPERSEDED}
)
_NETWORK_BYTES = 8  # of an address of IPv6 one place has all; those of IPv4 are shorter

type Draw = Callable[[int], int]  # draw(n): a random number, 0 <= number < n


class Candidate(Protocol):
    """Session, as far as a decision depends on it."""

    @property
    def session_id(self) -> bytes: ...

    @property
    def agent_id(self) -> bytes: ...

    @property
    def group(self) -> str: ...

    @property
    def hints(self) -> BalanceHints: ...

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
        self,
        service: ServiceKey,
        candidates: Iterable[C],
        *,
        now: float,
        draw: Draw,
        client: bytes = b"",
    ) -> list[C]:
        """Return up to MAX_TRIES sessions, the one to try first first.

        Args:
            service: what the client wants; all candidates serve it.
            candidates: sessions; those going away are left out.
            now: seconds, monotonic.
            draw: randomness.
            client: packed address of the client, for services whose clients stay with one agent.
        """
        candidates = list(candidates)
        if len(candidates) == 1:
            return [] if candidates[0].going_away else candidates
        ranks: dict[int, list[C]] = {}
        is_sticky = False
        for candidate in candidates:
            if not candidate.going_away:
                ranks.setdefault(self._rank(service, candidate, now), []).append(candidate)
                is_sticky = is_sticky or service in candidate.hints.sticky
        key = client[:_NETWORK_BYTES] if is_sticky else b""
        chosen: list[C] = []
        for number in sorted(ranks):
            rank = ranks[number]
            while rank and len(chosen) < MAX_TRIES:
                members = _take_group(rank, key, draw)
                while members and len(chosen) < MAX_TRIES:
                    chosen.append(members.pop(_choose(members, key, draw)))
        return chosen

    def find_equals[C: Candidate](
        self, service: ServiceKey, ordered: Sequence[C], now: float
    ) -> list[C]:
        """Return the first of an order, and those that its client may as well have in its place."""
        first = ordered[0]
        if any(service in each.hints.sticky for each in ordered):
            return [first]
        rank, group = self._rank(service, first, now), first.group
        return [
            each
            for each in ordered
            if each.group == group and self._rank(service, each, now) == rank
        ]

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
        """0 healthy, 2 cooling down, 4 its origin fails, 6 silent: it sends nothing at all; 1 more of a standby."""
        hints = candidate.hints
        standby = 0 if hints.weight else 1
        if candidate.is_silent:
            return 6 + standby
        if service in hints.failing:
            return 4 + standby
        cooldown = self._cooldowns.get(candidate.session_id, {}).get(service)
        return standby if cooldown is None or now >= cooldown.until else 2 + standby


def _take_group[C: Candidate](rank: list[C], key: bytes, draw: Draw) -> list[C]:
    """Take the sessions of a group out of a rank: of which one, weights decide."""
    weights: dict[str, int] = {}
    for each in rank:  # while a group gets another weight, the largest of it counts
        weights[each.group] = max(weights.get(each.group, 1), each.hints.weight)
    group = _draw_group(weights, key, draw)
    members = [each for each in rank if each.group == group]
    rank[:] = [each for each in rank if each.group != group]
    return members


def _draw_group(weights: dict[str, int], key: bytes, draw: Draw) -> str:
    """Return one of some groups; all of a rank of standbys weigh the same."""
    if len(weights) == 1:
        return next(iter(weights))
    if key:
        return min(weights, key=lambda group: _score(key, group.encode(), weights[group]))
    sums = list(accumulate(weights.values()))
    return list(weights)[bisect_right(sums, draw(sums[-1]))]


def _choose(members: Sequence[Candidate], key: bytes, draw: Draw) -> int:
    if key:
        return min(range(len(members)), key=lambda at: _score(key, members[at].agent_id, 1))
    return _less_loaded_of_two(members, draw)


def _score(key: bytes, name: bytes, weight: int) -> float:
    """Return an exponential variate of that rate: of several the least is each one's by its weight."""
    number = int.from_bytes(blake2b(name, digest_size=8, key=key).digest())
    return -math.log((number + 0.5) / 2**64) / weight


def _less_loaded_of_two(candidates: Sequence[Candidate], draw: Draw) -> int:
    if len(candidates) == 1:
        return 0
    first = draw(len(candidates))
    second = draw(len(candidates) - 1)
    second += second >= first
    return min(first, second, key=lambda index: candidates[index].active)
