"""Attempts at the addresses of one origin: each begins soon after the one before (RFC 8305 §5).

begin(now) -> address to connect to     until it returns None
fail(code)                              of one that was begun; then `begin` again
next_at                                 when `begin` has more, unless an attempt fails before
"""

import errno
from collections.abc import Collection
from typing import Final

from towonel.tunnel.core.address_order import interleave
from towonel.wire.errors import Code

type SocketAddress = tuple[str, int] | tuple[str, int, int, int]

ATTEMPT_DELAY_S: Final = 0.25  # between two addresses
_UNREACHABLE: Final = {
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL),
    *(
        errno.EAFNOSUPPORT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
    ),  # no socket for it
}
# Of several failures, the one that says most: a machine answered, or none did.
_TELLING: Final = (Code.ORIGIN_REFUSED, Code.ORIGIN_RESET, Code.ORIGIN_UNREACHABLE)


class OriginAttempts:
    """Attempts at some addresses, in seconds of any clock."""

    def __init__(
        self, addresses: Collection[SocketAddress], delay_s: float = ATTEMPT_DELAY_S
    ) -> None:
        self._left = list(interleave(addresses) if len(addresses) > 1 else addresses)
        self._left.reverse()
        self._delay_s = delay_s
        self._under_way = 0
        self._next_at = 0.0
        self._codes: list[Code] = []

    @property
    def next_at(self) -> float | None:
        """When the next may begin; None if there is none."""
        return self._next_at if self._left else None

    @property
    def over(self) -> bool:
        """Whether all have failed."""
        return not self._left and not self._under_way

    @property
    def code(self) -> Code:
        """The code of the failure, once all have failed."""
        return next((code for code in _TELLING if code in self._codes), Code.ORIGIN_UNREACHABLE)

    def begin(self, now: float) -> SocketAddress | None:
        """Return the address of an attempt that begins now, if it is time for one."""
        if not self._left or (self._under_way and now < self._next_at):
            return None
        self._under_way += 1
        self._next_at = now + self._delay_s
        return self._left.pop()

    def fail(self, code: Code) -> None:
        """Note that an attempt failed: the next begins at once."""
        self._under_way -= 1
        self._next_at = 0.0
        self._codes.append(code)


def to_code(number: int | None) -> Code:
    """Return the code of a connection that did not come about, by its `errno`."""
    if number == errno.ECONNREFUSED:
        return Code.ORIGIN_REFUSED
    return Code.ORIGIN_UNREACHABLE if number in _UNREACHABLE else Code.ORIGIN_RESET
