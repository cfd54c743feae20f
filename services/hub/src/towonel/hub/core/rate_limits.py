"""How often somebody may ask, how long somebody who guesses secrets must wait, and who that is.

A rate is kept as one number, the time at which its bucket is full again (GCRA, ITU-T I.371 §A): the
same arithmetic runs here for one process and in Redis for all replicas.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from towonel.runtime import addresses
from towonel.runtime.addresses import IpAddress, Network, unmap

MAX_HOPS = 32  # of a forwarded address; a chain of honest proxies is shorter

FREE_STRIKES = 10  # wrong secrets that cost nothing: people mistype, scripts hold old keys
MAX_LOCKOUT_MS = 15 * 60_000
FORGET_MS = MAX_LOCKOUT_MS  # after the end of a lockout, or the last strike without one


@dataclass(frozen=True, slots=True)
class Rate:
    """A steady rate, and how many may come at once."""

    per_second: float
    burst: int

    @property
    def interval_ms(self) -> float:
        """Between two at the steady rate."""
        return 1000 / self.per_second


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request: when the bucket is full again, and how long to wait, if at all."""

    full_at_ms: float
    wait_ms: float = 0


def take(full_at_ms: float, rate: Rate, now_ms: float) -> Taken:
    """Take one out of a bucket that is full at a time; a refused one takes nothing."""
    full_at_ms = max(full_at_ms, now_ms)
    wait_ms = full_at_ms - now_ms - (rate.burst - 1) * rate.interval_ms
    if wait_ms > 0:
        return Taken(full_at_ms, wait_ms)
    return Taken(full_at_ms + rate.interval_ms)


@dataclass(frozen=True, slots=True)
class Strikes:
    """How often a wrong secret came from an address, and until when it is refused."""

    count: int = 0
    locked_until_ms: int = 0
    forget_at_ms: int = 0

    def struck(self, now_ms: int) -> "Strikes":
        """Return what one more makes of it: each after the free ones doubles the wait, from 1 s."""
        count = 1 if now_ms >= self.forget_at_ms else self.count + 1
        locked_ms = lockout_ms(count)
        return Strikes(count, now_ms + locked_ms, now_ms + locked_ms + FORGET_MS)


def lockout_ms(strikes: int) -> int:
    """Return how long an address is refused after so many wrong secrets."""
    over = strikes - FREE_STRIKES
    if over <= 0:
        return 0
    return min(MAX_LOCKOUT_MS, 1000 << min(over - 1, MAX_LOCKOUT_MS.bit_length()))


def client_address(peer: str, forwarded_for: str | None, trusted: Iterable[Network]) -> str:
    """Return the address that a request comes from.

    A proxy that is trusted tells whom it got the request from, as the last of `X-Forwarded-For`; what
    stands before that is believed only as long as it was said by trusted proxies too.

    Args:
        peer: the other end of the connection; anything but an address is returned as it is.
        forwarded_for: the header, hostile.
        trusted: networks of proxies.
    """
    networks = tuple(trusted)
    client = _parsed(peer)
    if client is None:
        return peer
    hops = (forwarded_for or "").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    while hops and any(client in network for network in networks):
        said = _parsed(hops.pop())
        if said is None:
            break
        client = said
    return str(client)


def source_of(address: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parsed(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return addresses.source_of(parsed)


def _parsed(text: str) -> IpAddress | None:
    """Return an address without port, brackets or zone; an IPv4 one that is mapped, as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return unmap(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
