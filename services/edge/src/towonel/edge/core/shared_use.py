"""Use of limits in all processes of an edge, in rows that they share: each adds to its own, and reads the others'.

A tenant has a place for each of its limits in three parts of a row. Others may have the same ones, so that the
smallest of the three counts: at most a little too much. Numbers are 32 bits wide, and begin again at 0; those
of a worker that is gone stay, for the next one to add to.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from towonel.edge.core.shared_clients import Row
from towonel.wire.ids import TenantId

_PARTS: Final = 3
_PLACES: Final = 1 << 12  # in a part
_MASK: Final = (1 << 32) - 1
COLUMNS: Final = _PARTS * _PLACES


class LimitUse:
    """Use of one limit of a tenant, as of `relay.core.rate_limit.SharedUse`.

    Args:
        own: row of this process.
        others: rows of the others.
        places: of the limit, one in each part.
    """

    def __init__(self, own: Row, others: Sequence[Row], places: Sequence[int]) -> None:
        self._own = own
        self._others = others
        self._places = places
        self._seen = [self._sum(place) for place in places]

    def add(self, count: int) -> None:
        """Tell the others of use here."""
        own = self._own
        for place in self._places:
            own[place] = (own[place] + count) & _MASK

    def take_elsewhere(self) -> int:
        """Return the use by others since the last call."""
        now = [self._sum(place) for place in self._places]
        grown = min((new - old) & _MASK for new, old in zip(now, self._seen, strict=True))
        self._seen = now
        return grown

    def _sum(self, place: int) -> int:
        return sum(row[place] for row in self._others) & _MASK


class SharedLimits:
    """Limits of tenants as processes of an edge share them.

    Args:
        rows: one of each worker, and that of control.
        own: number of this process's.
        secret: that nobody outside knows, so that nobody can choose tenants of one place.
    """

    def __init__(self, rows: Sequence[Row], own: int, secret: bytes) -> None:
        self._own = rows[own]
        self._others = [row for number, row in enumerate(rows) if number != own]
        self._secret = secret

    def find(self, tenant_id: TenantId, limit: str) -> LimitUse:
        """Return the use of a tenant's limit of some name."""
        key = limit.encode() + tenant_id
        digest = blake2b(key, digest_size=4 * _PARTS, key=self._secret).digest()
        numbers = [int.from_bytes(digest[at : at + 4]) for at in range(0, len(digest), 4)]
        places = [part * _PLACES + number % _PLACES for part, number in enumerate(numbers)]
        return LimitUse(self._own, self._others, places)
