"""Wheel of coarse deadlines: thousands of connections share a few hundred slots, and no heap.

    slots    0    1    2  ...  N-1        one per tick, round and round
             |    |
             v    v
            items whose deadline is looked at in that tick

A later deadline only changes a number of its item: the item is moved when its slot comes up. So what is
in use pays for its idle limit with one assignment, and nothing per byte.
"""

from typing import Final

TICK_S: Final = 0.25
_SLOTS: Final = 256  # a lap of 64 s; an item with a later deadline is looked at once a lap


class Timed:
    """Item with a deadline, and where the wheel will look for it; 0 is none."""

    due: int = 0
    slot: int = 0

    def expire(self) -> None:
        """Act on the deadline; it is not armed any more."""
        raise NotImplementedError


class DeadlineWheel:
    """Wheel of the deadlines of `Timed` items.

    Args:
        now: in seconds on the clock that `advance` gets.
    """

    def __init__(self, now: float) -> None:
        self._start = now
        self._slots: list[set[Timed]] = [set() for _ in range(_SLOTS)]
        self.tick = 1
        self.count = 0  # of items

    def arm(self, item: Timed, after_s: float) -> None:
        """Let an item expire `after_s` seconds from now, rounded up to whole ticks, not before."""
        item.due = due = self.tick + 1 + int(after_s / TICK_S)
        if item.slot and item.slot <= due:
            return
        if item.slot:
            self._take(item)
        self._put(item, due)

    def disarm(self, item: Timed) -> None:
        """Forget an item, which may be of no wheel."""
        item.due = 0
        if item.slot:
            self._take(item)

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until `advance` is due; None while there are no deadlines."""
        if not self.count:
            return None
        return max(0.0, self._start + self.tick * TICK_S - now)

    def advance(self, now: float) -> None:
        """Expire the items whose deadline has passed."""
        last = 1 + int((now - self._start) / TICK_S)
        if not self.count:
            self.tick = max(self.tick, last)
        while self.tick < last:
            self.tick += 1
            self._turn()

    def _turn(self) -> None:
        items = self._slots[self.tick % _SLOTS]
        if not items:
            return
        for item in list(items):
            if item.slot != self.tick:
                continue  # it was taken out by one that expired before it
            self._take(item)
            if item.due > self.tick:
                self._put(item, item.due)
            else:
                item.due = 0
                item.expire()

    def _put(self, item: Timed, due: int) -> None:
        item.slot = min(due, self.tick + _SLOTS - 1)
        self._slots[item.slot % _SLOTS].add(item)
        self.count += 1

    def _take(self, item: Timed) -> None:
        self._slots[item.slot % _SLOTS].discard(item)
        item.slot = 0
        self.count -= 1
