"""Order in which the addresses of a host are tried: families in turn (RFC 8305 §4)."""

from collections.abc import Iterable
from itertools import chain, zip_longest

MAX_ADDRESSES = 16  # a name may have any number


def interleave[A: tuple[object, ...]](addresses: Iterable[A]) -> list[A]:
    """Return the addresses, IPv6 and IPv4 in turn, in the given order otherwise; each once.

    The family of the first is the first: whoever resolved the name had a reason for it.
    """
    families: dict[int, list[A]] = {}  # a socket address of IPv6 has four parts, one of IPv4 two
    for address in dict.fromkeys(addresses):
        families.setdefault(len(address), []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None][:MAX_ADDRESSES]
