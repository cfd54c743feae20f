"""Table of flows: so many at most. For one more the owner with the most flows loses the one it used least recently.

An owner that opens flow after flow displaces its own, once it has more than any other.
"""

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

    @property
    def owner(self) -> bytes:
        """Whose flow it is."""
        ...


class FlowTable[K, F: Flow]:
    """Table of flows by key.

    Args:
        limit: of flows.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._flows: dict[K, F] = {}
        self._latest: F | None = None  # used last
        self._owned: dict[bytes, OrderedDict[K, F]] = {}  # the least lately used first
        self._owners: dict[int, dict[bytes, None]] = {}  # by how many flows they have
        self._most = 0  # flows of one owner

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
        if flow is not self._latest:
            self._latest = flow
            self._owned[flow.owner].move_to_end(key)

    def add(self, key: K, flow: F) -> F | None:
        """Add a flow; return the one that had to go for it, if any."""
        evicted = None
        if len(self._flows) >= self.limit:
            own = self._owned.get(flow.owner)
            is_greediest = own is not None and len(own) == self._most
            greediest = flow.owner if is_greediest else next(iter(self._owners[self._most]))
            evicted = self.remove(next(iter(self._owned[greediest])))
        self._flows[key] = self._latest = flow
        owned = self._owned.setdefault(flow.owner, OrderedDict())
        owned[key] = flow
        self._count(flow.owner, len(owned) - 1, len(owned))
        return evicted

    def remove(self, key: K) -> F | None:
        """Remove a flow, and return it if it was there."""
        flow = self._flows.pop(key, None)
        if flow is None:
            return None
        if flow is self._latest:
            self._latest = None
        owned = self._owned[flow.owner]
        del owned[key]
        self._count(flow.owner, len(owned) + 1, len(owned))
        if not owned:
            del self._owned[flow.owner]
        return flow

    def find_idle(self, now: float) -> list[F]:
        """Return the flows that have been idle for too long."""
        return [flow for flow in self._flows.values() if now - flow.used_at >= flow.idle_s]

    def _count(self, owner: bytes, before: int, count: int) -> None:
        """Note how many flows an owner has: one more than before, or one less."""
        if before:
            among = self._owners[before]
            del among[owner]
            if not among:
                del self._owners[before]
        if count:
            self._owners.setdefault(count, {})[owner] = None
        if count > self._most or self._most not in self._owners:
            self._most = count
