"""Counts of clients in all workers, in rows that they share; a worker's own counts are exact beside it.

    row    clients | clients by stream for want of a lane | places of keys

A key (an address, a tenant) has a place in each of three parts of a row. Other keys may have the same
ones: the smallest of the three is at most a few too many, and never too few.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

type Row = memoryview[int]
type Places = tuple[int, ...]

_HEADER: Final = 2
_PARTS: Final = 3
_MOST_PLACES: Final = 1 << 20  # in a part
_LEAST_PLACES: Final = 1 << 10
_KEYS_PER_CLIENT: Final = (
    4  # its address, its tenant, and its address's shares of tenant and service
)


class Columns(NamedTuple):
    """Columns of a row: all of them, and places in a part."""

    total: int
    places: int


def plan_columns(clients: int, workers: int) -> Columns:
    """Return the columns for so many clients at once; a worker alone needs no places of keys."""
    if workers == 1:
        return Columns(_HEADER, 0)
    wanted = min(max(_KEYS_PER_CLIENT * clients, _LEAST_PLACES), _MOST_PLACES)
    places = 1 << (wanted - 1).bit_length()
    return Columns(_HEADER + _PARTS * places, places)


class SharedClients:
    """Counts of clients in all workers.

    Args:
        rows: one of each worker.
        own: number of this worker's.
        places: in a part of a row.
        secret: that nobody outside knows, so that nobody can choose keys of one place.
    """

    def __init__(self, rows: Sequence[Row], own: int, places: int, secret: bytes) -> None:
        self._own = rows[own]
        self._others = [row for number, row in enumerate(rows) if number != own]
        self._places = places
        self._secret = secret

    @property
    def elsewhere(self) -> int:
        """Clients of other workers."""
        return sum(row[0] for row in self._others)

    @property
    def by_stream_elsewhere(self) -> int:
        """Clients of other workers that go by stream for want of a lane."""
        return sum(row[1] for row in self._others)

    def put(self, clients: int) -> None:
        """Tell how many clients there are here."""
        self._own[0] = clients

    def put_by_stream(self, clients: int) -> None:
        """Tell how many go by stream for want of a lane here."""
        self._own[1] = clients

    def find_places(self, key: bytes) -> Places:
        """Return the places of a key."""
        digest = blake2b(key, digest_size=4 * _PARTS, key=self._secret).digest()
        return tuple(
            _HEADER
            + part * self._places
            + int.from_bytes(digest[4 * part : 4 * part + 4]) % self._places
            for part in range(_PARTS)
        )

    def count_elsewhere(self, places: Places) -> int:
        """Return how many clients of a key other workers have."""
        return min(sum(row[place] for row in self._others) for place in places)

    def add(self, places: Places, change: int) -> None:
        """Count clients of a key here, or count them no more."""
        for place in places:
            self._own[place] += change
