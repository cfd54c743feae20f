"""Addresses of a name: whether they lead to this edge."""

from collections.abc import Collection
from ipaddress import ip_network
from typing import Final

from towonel.runtime.addresses import IpAddress

# Of these networks the world outside reaches no edge.
_INSIDE: Final = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"),
        *("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
_MOST: Final = 4  # that are named


def describe_mismatch(found: Collection[IpAddress], own: Collection[IpAddress]) -> str | None:
    """Return where a name with these addresses leads, if not to an edge with those; one in common will do.

    An edge of whose addresses none can be reached from outside does not know what stands for it there,
    so that any address is right.
    """
    if not set(found).isdisjoint(own) or all(map(_is_inside, own)):
        return None
    return f"resolves to {_list(found)}, not to this edge ({_list(own)})"


def _is_inside(address: IpAddress) -> bool:
    return any(address in network for network in _INSIDE)


def _list(addresses: Collection[IpAddress]) -> str:
    texts = sorted(map(str, addresses))
    return ", ".join(texts[:_MOST]) + (" and more" if len(texts) > _MOST else "")
