"""Rate limits (GCRA), lockouts after wrong secrets, and the client address of a request.

The state of a rate is one number, the time at which its bucket is full again (GCRA, ITU-T I.371 §A): the
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
    """Rate limit: a steady rate and a burst."""

    per_second: float
    burst: int

    @property
    def interval_ms(self) -> float:
        """Time between two requests at the steady rate."""
        return 1000 / self.per_second


@dataclass(frozen=True, slots=True)
class TakeResult:
    """Result of one request to a bucket; `wait_ms` is above 0 if it was refused."""

    full_at_ms: float
    wait_ms: float = 0


def take(full_at_ms: float, rate: Rate, now_ms: float, count: int = 1) -> TakeResult:
    """Take tokens from a bucket that is full at `full_at_ms`; a refused request takes none.

    More than the bucket holds are taken as all that it holds.
    """
    full_at_ms, count = max(full_at_ms, now_ms), min(count, rate.burst)
    wait_ms = full_at_ms - now_ms - (rate.burst - count) * rate.interval_ms
    if wait_ms > 0:
        return TakeResult(full_at_ms, wait_ms)
    return TakeResult(full_at_ms + count * rate.interval_ms)


@dataclass(frozen=True, slots=True)
class Strikes:
    """Number of wrong secrets from an address, and until when it is locked out."""

    count: int = 0
    locked_until_ms: int = 0
    forget_at_ms: int = 0

    def add(self, now_ms: int) -> "Strikes":
        """Return the state after one more; each after the free ones doubles the lockout, from 1 s."""
        count = 1 if now_ms >= self.forget_at_ms else self.count + 1
        locked_ms = lockout_ms(count)
        return Strikes(count, now_ms + locked_ms, now_ms + locked_ms + FORGET_MS)


def lockout_ms(strikes: int) -> int:
    """Return how long an address is locked out after this many wrong secrets."""
    over = strikes - FREE_STRIKES
    if over <= 0:
        return 0
    return min(MAX_LOCKOUT_MS, 1000 << min(over - 1, MAX_LOCKOUT_MS.bit_length()))


def client_address(peer: str, forwarded_for: str | None, trusted: Iterable[Network]) -> str:
    """Return the address that a request comes from.

    A trusted proxy appends the address of its client to `X-Forwarded-For`; earlier entries are used only
    as long as a trusted proxy appended them too.

    Args:
        peer: the other end of the connection; anything but an address is returned unchanged.
        forwarded_for: the header, untrusted.
        trusted: networks of proxies.
    """
    networks = tuple(trusted)
    client = _parse(peer)
    if client is None:
        return peer
    hops = (forwarded_for or "").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    while hops and any(client in network for network in networks):
        hop = _parse(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client)


def source_of(address: str) -> str:
    """Return the source that a rate limit counts: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _parse(address)
    if not isinstance(parsed, IPv6Address):
        return address
    return addresses.source_of(parsed)


def _parse(text: str) -> IpAddress | None:
    """Parse an address, ignoring port, brackets and zone; an IPv4-mapped one becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return unmap(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
