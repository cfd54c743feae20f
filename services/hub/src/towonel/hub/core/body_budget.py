"""Budget of bodies: while it lasts anyone may send, then the fullest source loses first."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from towonel.hub.core import counts


@dataclass(slots=True, eq=False)
class HeldBody:
    """Body of one request, as much of it as is here.

    Args:
        source: who sends it: an address, or a network.
        on_evicted: is called when it has to make room.
        size: in bytes.
        is_settled: whether it is complete, or its sender known; then it is left alone.
        is_evicted: whether it has made room for others.
    """

    source: str
    on_evicted: Callable[[], None]
    size: int = 0
    is_settled: bool = False
    is_evicted: bool = False


class BodyBudget:
    """Budget of all bodies at once: of their bytes, and of places for those that are awaited.

    Args:
        max_bytes: of them together.
        max_awaited: bodies that a request waits for.
    """

    def __init__(self, max_bytes: int, max_awaited: int) -> None:
        self._max_bytes = max_bytes
        self._max_awaited = max_awaited
        self._bodies: set[HeldBody] = set()
        self._awaited: dict[HeldBody, None] = {}  # the oldest first
        self._bytes_of = Counter[str]()  # each source
        self._awaited_of = Counter[str]()
        self.held_bytes = 0

    @property
    def awaited(self) -> int:
        """How many bodies have a place."""
        return len(self._awaited)

    @contextmanager
    def hold(self, body: HeldBody) -> Generator[None]:
        """Count a body, until its request has ended."""
        self._bodies.add(body)
        try:
            yield
        finally:
            self._bodies.discard(body)
            self._leave(body)
            self._count(body, -body.size)

    def wait(self, body: HeldBody) -> None:
        """Give a body a place until it is settled; where none is left, others are evicted."""
        if body in self._awaited or body.is_settled:
            return
        self._awaited[body] = None
        self._awaited_of[body.source] += 1
        while len(self._awaited) > self._max_awaited:
            # Of sources that have as many, the oldest body: a slow one makes room for a quick one.
            self._evict(max(self._awaited, key=lambda it: self._awaited_of[it.source]))

    def settle(self, body: HeldBody) -> None:
        """Leave a body alone from now on: it is complete, or its sender known."""
        body.is_settled = True
        self._leave(body)

    def add(self, body: HeldBody, size: int) -> None:
        """Count more bytes of a body; above the budget, bodies are evicted: this one, or others."""
        self._count(body, size)
        while self.held_bytes > self._max_bytes and (fullest := self._find_fullest()) is not None:
            self._evict(fullest)

    def _find_fullest(self) -> HeldBody | None:
        """Return the largest body of the source that holds most, of those that are still sent."""
        evictable = (it for it in self._bodies if it.size and not it.is_settled)
        return max(evictable, key=lambda it: (self._bytes_of[it.source], it.size), default=None)

    def _evict(self, body: HeldBody) -> None:
        body.is_evicted = True
        self._leave(body)
        self._count(body, -body.size)
        body.on_evicted()

    def _leave(self, body: HeldBody) -> None:
        if body in self._awaited:
            del self._awaited[body]
            counts.add(self._awaited_of, body.source, -1)

    def _count(self, body: HeldBody, size: int) -> None:
        body.size += size
        self.held_bytes += size
        counts.add(self._bytes_of, body.source, size)
