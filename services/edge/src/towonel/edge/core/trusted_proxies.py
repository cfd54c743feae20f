"""Trusted proxies: peers that stand in front of the edge and speak PROXY v2 for their clients."""

from collections.abc import Iterable

from towonel.runtime.addresses import IpAddress, Network, unmap

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
