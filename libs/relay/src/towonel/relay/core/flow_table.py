"""Table of flows: so many at most, those that were used last; the oldest goes for a new one."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol


class Flow(Protocol):
    """Flow, as far as the table depends on it.

    Attributes:
        used_at: when it carried a datagram last, in seconds.
        idle_s: for which it may carry none.
    """

    used_at: float
    idle_s: float


class FlowTable[K, F: Flow]:
    """Table of flows by key.

    Args:
        limit: of flows.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._flows: OrderedDict[K, F] = OrderedDict()  # the least lately used first

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[F]:
        return iter(tuple(self._flows.values()))

    def find(self, key: K) -> F | None:
        """Return a flow, or None."""
        return self._flows.get(key)

    def use(self, key: K, flow: F, now: float) -> None:
        """Note that a flow carries a datagram."""
        flow.used_at = now
        self._flows.move_to_end(key)

    def add(self, key: K, flow: F) -> F | None:
        """Add a flow; return the one that had to go for it, if any."""
        evicted = None
        if len(self._flows) >= self.limit:
            _, evicted = self._flows.popitem(last=False)
        self._flows[key] = flow
        return evicted

    def remove(self, key: K) -> F | None:
        """Remove a flow, and return it if it was there."""
        return self._flows.pop(key, None)

    def find_idle(self, now: float) -> list[F]:
        """Return the flows that have been idle for too long."""
        return [flow for flow in self._flows.values() if now - flow.used_at >= flow.idle_s]
