"""Networks of clients that a service serves, and of those that it does not: CIDRs, which edges check."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from towonel.wire.errors import Code, ProtocolError

MAX_CIDRS: Final = 64  # of a service, of both kinds together
MAX_CIDR_CHARS: Final = 49
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_COMPILED: Final = 1024  # services whose networks are at hand

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ClientNetworks:
    """Networks of clients, as `parse_cidrs` returns them.

    Args:
        allow: whose clients are served, and no others; all where there are none.
        deny: whose clients are not served, whatever the others say.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def allows(self, address: Address) -> bool:
        """Whether a client of this address is served; an IPv4-mapped one is of its IPv4 address."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if _has(self.deny, address):
            return False
        return not self.allow or _has(self.allow, address)

    def encode(self) -> str:
        """Return both as one text."""
        return ",".join(self.allow) + ";" + ",".join(self.deny)


def decode_networks(text: str | None) -> ClientNetworks | None:
    """Return what `ClientNetworks.encode` has made; None where there is nothing."""
    if not text:
        return None
    allow, _, deny = text.partition(";")
    return ClientNetworks(_split(allow), _split(deny))


def make_networks(allow: Iterable[str], deny: Iterable[str]) -> ClientNetworks | None:
    """Return the networks of CIDRs; None where there are none.

    Raises:
        ProtocolError: BAD_NAME, as of `parse_cidrs`, or for too many.
    """
    networks = ClientNetworks(parse_cidrs(allow), parse_cidrs(deny))
    check_count(len(networks.allow) + len(networks.deny))
    return networks if networks.allow or networks.deny else None


def check_count(count: int) -> None:
    """Check how many CIDRs a service has.

    Raises:
        ProtocolError: BAD_NAME.
    """
    if count > MAX_CIDRS:
        raise ProtocolError(
            Code.BAD_NAME, f"allow_cidrs and deny_cidrs have {count} networks, at most {MAX_CIDRS}"
        )


def parse_cidrs(texts: Iterable[str]) -> tuple[str, ...]:
    """Return CIDRs in the form that all compare: each once, addresses as networks of one, in order.

    Raises:
        ProtocolError: BAD_NAME, with the rule, and what was meant.
    """
    return tuple(dict.fromkeys(str(_parse(text)) for text in texts))


def _parse(text: str) -> Network:
    try:
        network = ip_network(text.replace("%", "/")[: MAX_CIDR_CHARS + 1])  # of no interface here
    except ValueError:
        raise ProtocolError(
            Code.BAD_NAME, f"{text[:MAX_CIDR_CHARS]!r} is not a network such as {_suggest(text)}"
        ) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inside = network.network_address.ipv4_mapped
        return ip_network((int(inside or 0), network.prefixlen - _MAPPED.prefixlen))
    return network


def _suggest(text: str) -> str:
    try:
        return str(ip_network(text.partition("%")[0][:MAX_CIDR_CHARS], strict=False))  # a machine's
    except ValueError:
        return "192.0.2.0/24 or 2001:db8::/32"


def _has(cidrs: Collection[str], address: Address) -> bool:
    return bool(cidrs) and any(address in network for network in _compile(tuple(cidrs)))


@lru_cache(_COMPILED)
def _compile(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ip_network, cidrs))


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
