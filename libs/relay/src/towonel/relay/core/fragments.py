"""Fragments of records that are too large for a packet: cut here, and put together at the other end."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from towonel.wire.udp.datagrams import FRAGMENT_HEAD_BYTES, MAX_PIECES, Fragment

MAX_PENDING: Final = 64  # records of a session of which pieces are missing
MAX_PENDING_BYTES: Final = 1024 * 1024
PENDING_S: Final = 1.0  # for the pieces of one to come
_NUMBERS: Final = 0x10000


class Fragmenter:
    """Cutter of the records of one sender."""

    def __init__(self) -> None:
        self._number = 0

    def cut(self, record: bytes, room: int) -> Iterator[Fragment]:
        """Yield the pieces of kind and body of a record.

        Args:
            record: at most 64 pieces of them.
            room: for the body of a record in a packet, in bytes.
        """
        size = room - FRAGMENT_HEAD_BYTES
        pieces = -(-len(record) // size)
        assert pieces <= MAX_PIECES, "no datagram is larger"
        number = self._number
        self._number = (number + 1) % _NUMBERS
        for piece in range(pieces):
            yield Fragment(number, piece, pieces, record[piece * size : (piece + 1) * size])


class _Pending:
    """Record of which some pieces have come."""

    def __init__(self, pieces: int, since: float) -> None:
        self.pieces: list[bytes | None] = [None] * pieces
        self.missing = pieces
        self.size = 0
        self.since = since


class Reassembler:
    """Builder of records of the pieces that come, in any order; the oldest goes where there are too many.

    Attributes:
        lost: records of which a piece did not come in time, or there was no room.
    """

    def __init__(self) -> None:
        self._pending: OrderedDict[tuple[int, int], _Pending] = OrderedDict()
        self._size = 0
        self.lost = 0

    def add(self, flow: int, fragment: Fragment, now: float) -> bytes | None:
        """Take a piece, and return kind and body of its record if that is whole."""
        self.expire(now)
        key = flow, fragment.number
        pending = self._pending.get(key)
        if pending is None or len(pending.pieces) != fragment.pieces:
            self._drop(key)
            pending = self._pending[key] = _Pending(fragment.pieces, now)
        if pending.pieces[fragment.piece] is not None:
            return None
        pending.pieces[fragment.piece] = fragment.data
        pending.missing -= 1
        pending.size += len(fragment.data)
        self._size += len(fragment.data)
        if not pending.missing:
            del self._pending[key]
            self._size -= pending.size
            return b"".join(piece for piece in pending.pieces if piece is not None)
        while len(self._pending) > MAX_PENDING or self._size > MAX_PENDING_BYTES:
            self._drop(next(iter(self._pending)))
        return None

    def expire(self, now: float) -> None:
        """Drop records whose pieces did not come in time."""
        while self._pending:
            key, oldest = next(iter(self._pending.items()))
            if now - oldest.since < PENDING_S:
                return
            self._drop(key)

    def _drop(self, key: tuple[int, int]) -> None:
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._size -= pending.size
            self.lost += 1
