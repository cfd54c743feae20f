"""Wheel of deadlines: thousands of connections share a few hundred slots, and no heap.

    slots    0    1    2  ...  N-1        one per tick, round and round
             |    |
             v    v
            items whose deadline is looked at in that tick

A later deadline only changes a number of its item: the item is moved when its slot comes up. So what is
in use pays for its idle limit with one assignment, and nothing per byte.
"""

from math import ceil
from typing import Final

TICK_S: Final = 0.25
FINE_TICK_S: Final = 0.005
_SLOTS: Final = 256  # a lap of 64 s; an item with a later deadline is looked at once a lap


class Timed:
    """Item with a deadline, and where its wheel will look for it; 0 is none."""

    due: int = 0
    slot: int = 0

    def expire(self) -> None:
        """Act on the deadline; it is not armed any more."""
        raise NotImplementedError

    def crash(self, error: Exception) -> None:
        """End what a bug has left in an unknown state, and nothing else."""
        raise error


class DeadlineWheel:
    """Wheel of the deadlines of `Timed` items.

    Args:
        now: in seconds on the clock that `advance` gets.
        tick_s: how late a deadline may be.

    Attributes:
        now: the time that deadlines are counted from; whoever arms items keeps it up to date.
        count: items that are looked at some time, whether they have a deadline or not.
        next_at: when `advance` is due, if there are items.
    """

    def __init__(self, now: float, tick_s: float = TICK_S) -> None:
        self.now = self._start = now
        self._tick_s = tick_s
        self._slots: list[set[Timed]] = [set() for _ in range(_SLOTS)]
        self.tick = 1
        self.count = 0
        self.next_at = now + tick_s

    def arm(self, item: Timed, after_s: float) -> None:
        """Let an item expire `after_s` seconds from now, rounded up to whole ticks, not before."""
        item.due = due = 1 + ceil((self.now - self._start + after_s) / self._tick_s)
        if item.slot:
            if item.slot <= due:
                return
            self._take(item)
        if not self.count:
            self.tick = max(self.tick, self._tick_at(self.now))
            self.next_at = self._start + self.tick * self._tick_s
        self._put(item, max(due, self.tick + 1))

    def relax(self, item: Timed) -> None:
        """Take an item's deadline away, and leave it where it is: it is armed again soon."""
        item.due = 0

    def disarm(self, item: Timed) -> None:
        """Forget an item, which may be of no wheel."""
        item.due = 0
        if item.slot:
            self._take(item)

    def advance(self, now: float) -> None:
        """Expire the items whose deadline has passed."""
        self.now = now
        last = self._tick_at(now)
        if not self.count:
            self.tick = max(self.tick, last)
        while self.tick < last:
            self.tick += 1
            self._turn()
        self.next_at = self._start + self.tick * self._tick_s

    def _tick_at(self, now: float) -> int:
        return 1 + int((now - self._start) / self._tick_s)

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
            elif item.due:
                item.due = 0
                try:
                    item.expire()
                except Exception as error:  # noqa: BLE001 the deadlines of all others go on
                    item.crash(error)

    def _put(self, item: Timed, due: int) -> None:
        item.slot = min(due, self.tick + _SLOTS - 1)
        self._slots[item.slot % _SLOTS].add(item)
        self.count += 1

    def _take(self, item: Timed) -> None:
        self._slots[item.slot % _SLOTS].discard(item)
        item.slot = 0
        self.count -= 1
