"""Set of ids that were seen lately, of bounded size."""


class RecentIds:
    """Set that remembers an id for at least `keep_s`, unless more than `capacity` come in that time.

    Two sets take turns: the younger is filled, the older is dropped once it is old enough.

    Args:
        keep_s: seconds.
        capacity: ids in each of the two sets.
        now: seconds, monotonic.
    """

    def __init__(self, keep_s: float, capacity: int, now: float) -> None:
        self._keep_s = keep_s
        self._capacity = capacity
        self._since = now
        self._younger: set[bytes] = set()
        self._older: set[bytes] = set()

    def __contains__(self, seen: bytes) -> bool:
        return seen in self._younger or seen in self._older

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def add(self, seen: bytes, now: float) -> None:
        """Remember an id."""
        if now - self._since >= self._keep_s or len(self._younger) >= self._capacity:
            self._older, self._younger = self._younger, set()
            self._since = now
        self._younger.add(seen)
