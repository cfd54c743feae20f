"""Queue of certificate orders: names that clients wait for go first, and some places are reserved for them."""

from collections.abc import Hashable


class OrderQueue[K: Hashable]:
    """Queue of names, in two lines of bounded length, and the places of those whose turn has come.

    Args:
        places: of orders at once.
        reserved: of these places, for names that clients wait for.
        capacity: of each line.
    """

    def __init__(self, places: int, reserved: int, capacity: int) -> None:
        self._places = places
        self._reserved = reserved
        self._capacity = capacity
        self._waited_for: dict[K, None] = {}
        self._eager: dict[K, None] = {}
        self._begun: set[K] = set()

    def __contains__(self, key: K) -> bool:
        return key in self._begun or key in self._waited_for or key in self._eager

    def __len__(self) -> int:
        """Return how many names wait for their turn."""
        return len(self._waited_for) + len(self._eager)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more name that clients wait for."""
        return len(self._waited_for) >= self._capacity

    def add_waited_for(self, key: K) -> None:
        """Add a name that clients wait for, or move it up, unless that line is full."""
        if key not in self._begun and not self.is_full:
            self._eager.pop(key, None)
            self._waited_for[key] = None

    def add_eager(self, key: K) -> None:
        """Add a name that nobody waits for yet, unless that line is full."""
        if key not in self and len(self._eager) < self._capacity:
            self._eager[key] = None

    def take(self) -> K | None:
        """Return the name whose order is to begin, if there is a place for one."""
        free = self._places - len(self._begun)
        for line, reserved in ((self._waited_for, 0), (self._eager, self._reserved)):
            if line and free > reserved:
                key = next(iter(line))
                del line[key]
                self._begun.add(key)
                return key
        return None

    def end(self, key: K) -> None:
        """Give the place of a name back: its order has ended."""
        self._begun.discard(key)
