"""Counts of an agent's clients, in rows that its processes share: each writes its own, and sees all.

row    clients          of control those that come by stream, of each worker those of its lanes
"""

from collections.abc import Sequence

type Row = memoryview[int]

COLUMNS = 1


class ClientCounts:
    """Counts of clients, as one process sees them.

    Args:
        rows: one of each process.
        own: number of this one's.
    """

    def __init__(self, rows: Sequence[Row], own: int) -> None:
        self._own = rows[own]
        self._others = [row for number, row in enumerate(rows) if number != own]

    @property
    def elsewhere(self) -> int:
        """Clients of the other processes, at this moment."""
        return sum(row[0] for row in self._others)

    def put(self, clients: int) -> None:
        """Tell how many there are here."""
        self._own[0] = clients


def count_alone() -> ClientCounts:
    """Return counts of a process without others."""
    return ClientCounts([memoryview(bytearray(4 * COLUMNS)).cast("I")], 0)
