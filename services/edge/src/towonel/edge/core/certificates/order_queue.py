"""Queue of certificate orders: names that clients wait for go first, some places are reserved for them, and owners share all."""

from collections import Counter
from collections.abc import Hashable


class OrderQueue[K: Hashable, O: Hashable]:
    """Queue of names, in two lines of bounded length, and the places of those whose turn has come.

    An owner whose orders take long does not keep others waiting: whoever has the fewest under way is the next.

    Args:
        places: of orders at once.
        reserved: of these places, for names that clients wait for.
        capacity: of each line; one owner has half of that which clients wait for.
    """

    def __init__(self, places: int, reserved: int, capacity: int) -> None:
        self._places = places
        self._reserved = reserved
        self._capacity = capacity
        self._waited_for: dict[K, O] = {}
        self._eager: dict[K, O] = {}
        self._begun: dict[K, O] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._begun or key in self._waited_for or key in self._eager

    def __len__(self) -> int:
        """Return how many names wait for their turn."""
        return len(self._waited_for) + len(self._eager)

    def has_room_for(self, owner: O) -> bool:
        """Tell whether there is room for one more name of an owner that clients wait for."""
        waiting = len(self._waited_for)
        if waiting < self._capacity // 2:
            return True
        return waiting < self._capacity and self._count_waiting(owner) < self._capacity // 2

    def _count_waiting(self, owner: O) -> int:
        return sum(each == owner for each in self._waited_for.values())

    def add_waited_for(self, key: K, owner: O) -> None:
        """Add a name that clients wait for, unless there is no room."""
        if key not in self and self.has_room_for(owner):
            self._waited_for[key] = owner

    def move_up(self, key: K) -> None:
        """Let a name go first that clients wait for now, if there is room."""
        if key in self._eager and self.has_room_for(self._eager[key]):
            self._waited_for[key] = self._eager.pop(key)

    def add_eager(self, key: K, owner: O) -> None:
        """Add a name that nobody waits for yet, unless that line is full."""
        if key not in self and len(self._eager) < self._capacity:
            self._eager[key] = owner

    def take(self) -> K | None:
        """Return the name whose order is to begin, if there is a place for one."""
        free = self._places - len(self._begun)
        for line, reserved in ((self._waited_for, 0), (self._eager, self._reserved)):
            if line and free > reserved:
                key = self._find_next(line)
                self._begun[key] = line.pop(key)
                return key
        return None

    def _find_next(self, line: dict[K, O]) -> K:
        under_way = Counter(self._begun.values())
        return min(line, key=lambda key: under_way[line[key]])  # of several the first

    def end(self, key: K) -> None:
        """Give the place of a name back: its order has ended."""
        self._begun.pop(key, None)
