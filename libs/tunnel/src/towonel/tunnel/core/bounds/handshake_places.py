"""Places of handshakes: bounds connections that have proved nothing yet, by source and in all.

A handshake takes milliseconds of the edge's time, whatever becomes of it. So a source also has only so many
in a time: places alone would let one that is quick begin hundreds a second.

Sources without number, each with one handshake, would keep everybody else out for as long as a handshake
may take. So of sources that have as many, the oldest makes room once an honest one would be done.
"""

from dataclasses import dataclass

from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets
from towonel.wire.errors import Code

MAX_SOURCES = 8192  # that are remembered; with the default rate one is forgotten within 16 s
PATIENCE_S = 1.0  # three round trips of the slowest links


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Limits on connections that have not proved anything yet; each lives 5 s at most.

    Args:
        total: places in all.
        per_source: of one IPv4 address or IPv6 /64 at most.
        per_s: that a source may begin in a second.
        burst: that it may begin one after another: agents behind it, whose edge was started again.
    """

    total: int = 192
    per_source: int = 16
    per_s: float = 32.0
    burst: int = 512


DEFAULT_LIMITS = HandshakeLimits()


@dataclass(frozen=True, slots=True)
class Full:
    """There is no place: this one has to try again."""

    code: Code


@dataclass(frozen=True, slots=True)
class Free[T]:
    """There is a place, once `evicted` has lost its own."""

    evicted: T | None


class HandshakePlaces[T]:
    """Places that are taken by source; when all are taken, the fullest source loses its oldest.

    Args:
        limits: on all together, and on each source.
    """

    def __init__(self, limits: HandshakeLimits = DEFAULT_LIMITS) -> None:
        self._total = limits.total
        self._per_source = limits.per_source
        self._rates = KeyedBuckets[str](limits.per_s, limits.burst, MAX_SOURCES)
        self._by_source: dict[str, list[T]] = {}  # the oldest first
        self._sources: dict[T, tuple[str, float]] = {}  # and since when; the oldest first

    def __len__(self) -> int:
        return len(self._sources)

    def find(self, source: str, now: float) -> Full | Free[T]:
        """Look for a place for one more handshake of a source; `now` is in monotonic seconds.

        One that is found counts as begun.
        """
        place = self._find(source, now)
        if isinstance(place, Free) and not self._rates.take(source, now):
            return Full(Code.RATE_LIMITED)
        return place

    def take(self, source: str, holder: T, now: float) -> None:
        """Take a place that was found, whose former holder has left."""
        self._by_source.setdefault(source, []).append(holder)
        self._sources[holder] = (source, now)

    def leave(self, holder: T) -> None:
        """Give a place back. Idempotent."""
        taken = self._sources.pop(holder, None)
        if taken is None:
            return
        source, _ = taken
        holders = self._by_source[source]
        holders.remove(holder)
        if not holders:
            del self._by_source[source]

    def _find(self, source: str, now: float) -> Full | Free[T]:
        count = len(self._by_source.get(source, ()))
        if count >= self._per_source or self._total == 0:
            return Full(Code.OVERLOADED)
        if len(self._sources) < self._total:
            return Free(None)
        fullest = max(self._by_source.values(), key=len)
        if len(fullest) > count + 1:
            return Free(fullest[0])
        oldest, (_, since) = next(iter(self._sources.items()))
        return Free(oldest) if count == 0 and now - since >= PATIENCE_S else Full(Code.OVERLOADED)
