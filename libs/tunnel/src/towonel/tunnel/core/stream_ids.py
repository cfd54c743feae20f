"""Stream ids: those with a meaning, and the set of those that a peer has used, in any order."""

CONTROL_STREAM = 1  # the first that the server of a connection opens; RFC 9000 §2.1
MAX_GAP = 4096  # streams that may be outstanding before an older one shows; above what QUIC allows


class SeenStreams:
    """Set of the numbers 0, 1, 2, … that were seen; it stores only those that were skipped."""

    def __init__(self) -> None:
        self._next = 0
        self._skipped: set[int] = set()

    def add(self, number: int) -> bool | None:
        """Add `number`; return whether it is new, or None if it is too far ahead to be true."""
        if number < self._next:
            if number in self._skipped:
                self._skipped.remove(number)
                return True
            return False
        if number - self._next + len(self._skipped) > MAX_GAP:
            return None
        self._skipped.update(range(self._next, number))
        self._next = number + 1
        return True
