"""Which peers stand in front of us and speak PROXY v2 for their clients."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

type Network = IPv4Network | IPv6Network

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


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks; a single address is a network of one.

    Raises:
        ValueError: what is wrong with which of them.
    """
    return tuple(ip_network(text) for text in texts)


def is_trusted(networks: Iterable[Network], address: IPv4Address | IPv6Address) -> bool:
    """Whether a peer must start with a PROXY header; of anybody else none is read.

    An IPv4 peer on a dual-stack socket appears as an IPv4-mapped IPv6 address.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    peer = mapped or address
    return any(peer.version == network.version and peer in network for network in networks)
