"""Trusted proxies: peers that stand in front of the edge and speak PROXY v2 for their clients."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from towonel.runtime.addresses import IpAddress, Network, source_of, unmap

# Loopback, private and link-local: where a load balancer of one's own stands.
DEFAULT_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)


def is_trusted(networks: Iterable[Network], address: IpAddress) -> bool:
    """Whether a peer must start with a PROXY header; one from any other peer is not read."""
    peer = unmap(address)
    return any(peer in network for network in networks)


class Peer(NamedTuple):
    """Peer of a connection, as far as its address says who it is.

    Args:
        ip: its address, IPv4 unmapped.
        source: what it counts for.
        is_trusted: whether it must start with a PROXY header.
    """

    ip: IpAddress
    source: str
    is_trusted: bool


def describe_peer(networks: Iterable[Network], text: str) -> Peer:
    """Return who an address is, as sockets write it."""
    ip = unmap(ip_address(text))
    return Peer(ip, source_of(ip), is_trusted(networks, ip))
