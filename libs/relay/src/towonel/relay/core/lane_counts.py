"""Counts of the lanes of each session in all workers, in rows that they share.

    row    lanes half open | of each session: idle, in use, wanted, unsent, inside TLS

A client may so be moved to a worker that has an idle lane for it, and lanes that are too many are closed
only where they are too many in all workers together, since chance decides which worker accepts a lane.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

type Row = memoryview[int]

_HEADER: Final = 1
_FIELDS: Final = 5
NO_SLOT: Final = -1  # of a session that has no place: its lanes are not known elsewhere


class LaneSums(NamedTuple):
    """Sums of a session's lanes over workers.

    Args:
        idle: that wait for a client.
        in_use: that no client can get now.
        wanted: in all.
        unsent: of those in use, that have no client, and bytes that their agent has not taken.
        inside_tls: of all there are.
    """

    idle: int
    in_use: int
    wanted: int
    unsent: int = 0
    inside_tls: int = 0


NO_LANES: Final = LaneSums(0, 0, 0)


def count_columns(slots: int) -> int:
    """Return the numbers that a row with places for so many sessions has."""
    return _HEADER + _FIELDS * slots


class LaneCounts:
    """Counts of lanes in all workers; sessions are known by their places in the rows.

    Args:
        rows: one of each worker.
        own: number of this worker's.

    Attributes:
        workers: how many there are.
    """

    def __init__(self, rows: Sequence[Row], own: int) -> None:
        self._own = rows[own]
        self._others = [(number, row) for number, row in enumerate(rows) if number != own]
        self.workers = len(rows)

    @property
    def is_alone(self) -> bool:
        """Whether there is no other worker."""
        return not self._others

    @property
    def half_open_elsewhere(self) -> int:
        """Lanes that other workers have not admitted yet."""
        return sum(row[0] for _, row in self._others)

    def put_half_open(self, count: int) -> None:
        """Tell how many lanes are not admitted yet here."""
        self._own[0] = count

    def put(self, slot: int, lanes: LaneSums) -> None:
        """Tell the other workers of a session's lanes here."""
        if slot >= 0:
            at = _HEADER + _FIELDS * slot
            for number, count in enumerate(lanes):
                self._own[at + number] = count

    def put_used(self, slot: int, idle: int, in_use: int) -> None:
        """Tell the other workers of lanes that began or ended to be used."""
        at = _HEADER + _FIELDS * slot
        self._own[at], self._own[at + 1] = idle, in_use

    def sum_elsewhere(self, slot: int) -> LaneSums:
        """Return the sums of a session's lanes in other workers."""
        return sum_lanes((row for _, row in self._others), slot)

    def count_spare_elsewhere(self, slot: int) -> int:
        """Return how many of a session's lanes in other workers have no client."""
        elsewhere = self.sum_elsewhere(slot)
        return elsewhere.idle + elsewhere.unsent

    def find_idle(self, slot: int) -> tuple[int, int]:
        """Return how many idle lanes that other worker has that has most, and its number."""
        if slot < 0:
            return 0, 0
        at = _HEADER + _FIELDS * slot
        return max(((row[at], number) for number, row in self._others), default=(0, 0))

    def share_surplus(self, slot: int, lanes: int, wanted: int) -> int:
        """Return how many of its lanes a worker closes, where there are more than all want together.

        Args:
            slot: of the session.
            lanes: that the worker has.
            wanted: that it wants.
        """
        own_surplus = max(0, lanes - wanted)
        all_lanes, all_wanted, surpluses = lanes, wanted, own_surplus
        for each in (sum_lanes((row,), slot) for _, row in self._others):
            count = each.idle + each.in_use
            all_lanes += count
            all_wanted += each.wanted
            surpluses += max(0, count - each.wanted)
        surplus = all_lanes - all_wanted
        return own_surplus * surplus // surpluses if own_surplus and surplus > 0 else 0


def sum_lanes(rows: Iterable[Row], slot: int) -> LaneSums:
    """Return the sums of a session's lanes over rows."""
    if slot < 0:
        return NO_LANES
    at = _HEADER + _FIELDS * slot
    found = [row[at : at + _FIELDS] for row in rows]
    return LaneSums(*map(sum, zip(*found, strict=True))) if found else NO_LANES
