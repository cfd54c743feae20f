"""Budget of bodies in memory: while it lasts anyone may send, then the fullest source loses first."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class HeldBody:
    """Body of one request, as much of it as is here.

    Args:
        source: who sends it: an address, or a network.
        on_evicted: is called when it has to make room.
        size: in bytes.
        is_complete: whether its request is carried out; then it is gone soon, and is left alone.
        is_evicted: whether it has made room for others.
    """

    source: str
    on_evicted: Callable[[], None]
    size: int = 0
    is_complete: bool = False
    is_evicted: bool = False


class BodyBudget:
    """Budget of the bytes of all bodies that are held at once.

    Args:
        max_bytes: of them together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bodies: set[HeldBody] = set()
        self._sources: dict[str, int] = {}
        self.held_bytes = 0

    @contextmanager
    def hold(self, body: HeldBody) -> Generator[None]:
        """Count the bytes of a body, until its request has ended."""
        self._bodies.add(body)
        try:
            yield
        finally:
            self._bodies.discard(body)
            self._count(body, -body.size)

    def add(self, body: HeldBody, size: int) -> None:
        """Count more bytes of a body; above the budget, bodies are evicted: this one, or others."""
        self._count(body, size)
        while self.held_bytes > self._max_bytes and (fullest := self._find_fullest()) is not None:
            fullest.is_evicted = True
            self._count(fullest, -fullest.size)
            fullest.on_evicted()

    def _find_fullest(self) -> HeldBody | None:
        """Return the largest body of the source that holds most, of those that are still sent."""
        evictable = (it for it in self._bodies if it.size and not it.is_complete)
        return max(evictable, key=lambda it: (self._sources[it.source], it.size), default=None)

    def _count(self, body: HeldBody, size: int) -> None:
        body.size += size
        self.held_bytes += size
        left = self._sources.get(body.source, 0) + size
        if left:
            self._sources[body.source] = left
        else:
            self._sources.pop(body.source, None)
