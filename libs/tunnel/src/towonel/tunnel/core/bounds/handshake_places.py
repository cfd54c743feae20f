"""Places of handshakes: bounds connections that have proved nothing yet, by source and in all.

Sources without number, each with one handshake, would keep everybody else out for as long as a handshake
may take. So of sources that have as many, the oldest makes room once an honest one would be done.
"""

from dataclasses import dataclass

MAX_HANDSHAKES = 192  # connections that have not proved anything yet; each lives 5 s at most
MAX_HANDSHAKES_PER_SOURCE = 16  # of one IPv4 address or IPv6 /64


PATIENCE_S = 1.0  # three round trips of the slowest links


@dataclass(frozen=True, slots=True)
class Full:
    """There is no place: this one has to try again."""


@dataclass(frozen=True, slots=True)
class Free[T]:
    """There is a place, once `evicted` has lost its own."""

    evicted: T | None


class HandshakePlaces[T]:
    """Places that are taken by source; when all are taken, the fullest source loses its oldest.

    Args:
        total: places in all.
        per_source: of one source at most.
    """

    def __init__(
        self, total: int = MAX_HANDSHAKES, per_source: int = MAX_HANDSHAKES_PER_SOURCE
    ) -> None:
        self._total = total
        self._per_source = per_source
        self._by_source: dict[str, list[T]] = {}  # the oldest first
        self._sources: dict[T, tuple[str, float]] = {}  # and since when; the oldest first

    def __len__(self) -> int:
        return len(self._sources)

    def find(self, source: str, now: float) -> Full | Free[T]:
        """Look for a place for one more handshake of a source; `now` is in monotonic seconds."""
        count = len(self._by_source.get(source, ()))
        if count >= self._per_source or self._total == 0:
            return Full()
        if len(self._sources) < self._total:
            return Free(None)
        fullest = max(self._by_source.values(), key=len)
        if len(fullest) > count + 1:
            return Free(fullest[0])
        oldest, (_, since) = next(iter(self._sources.items()))
        return Free(oldest) if count == 0 and now - since >= PATIENCE_S else Full()

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
