"""Window of the counters that have come: a packet is taken once, however the network orders or repeats it.

Source: RFC 6479, whose bits are those of one integer here.
"""

from typing import Final

WINDOW: Final = 2048  # packets by which one may be late
_MASK: Final = (1 << WINDOW) - 1


class ReplayWindow:
    """Window of counters.

    Attributes:
        highest: counter that has come; -1 before the first.
    """

    def __init__(self) -> None:
        self.highest = -1
        self._seen = 0  # bit n: the highest less n

    def is_new(self, counter: int) -> bool:
        """Whether a counter has not come, and is not too old to tell."""
        behind = self.highest - counter
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def note(self, counter: int) -> bool:
        """Note one that is new and authentic; return whether it is the highest by now."""
        ahead = counter - self.highest
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return False
        self._seen = 1 if ahead >= WINDOW else (self._seen << ahead | 1) & _MASK
        self.highest = counter
        return True
