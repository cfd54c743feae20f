"""IP addresses: listeners as seen from their own machine, networks, and sources of traffic."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 compared, never bound
IPV6_SOURCE_BITS = 64  # one subscriber gets a /64 at least, and may use every address in it

type IpAddress = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


def loopback_url(listen_addr: tuple[str, int]) -> str:
    """Return the URL at which a listener is reached from its own machine."""
    host, port = listen_addr
    host = WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks; a single address is a network of one.

    Raises:
        ValueError: what is wrong with which of them.
    """
    return tuple(ip_network(text) for text in texts)


def unmap(address: IpAddress) -> IpAddress:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one, as dual-stack sockets show it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def source_of(address: IpAddress) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    address = unmap(address)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), IPV6_SOURCE_BITS), strict=False))
