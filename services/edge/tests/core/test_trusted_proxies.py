"""Trusted proxies: private networks by default, and no peer outside the networks."""

from ipaddress import ip_address

import pytest

from towonel.edge.core.trusted_proxies import DEFAULT_NETWORKS, Peer, describe_peer, is_trusted
from towonel.runtime.addresses import parse_networks

DEFAULT = parse_networks(DEFAULT_NETWORKS)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.255.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ],
)
def test_private_addresses_are_trusted_by_default(address: str) -> None:
    assert is_trusted(DEFAULT, ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["172.32.0.1", "192.0.2.1", "::2", "2001:db8::1", "::ffff:192.0.2.1", "::", "11.0.0.0"],
)
def test_public_addresses_are_not_trusted_by_default(address: str) -> None:
    assert not is_trusted(DEFAULT, ip_address(address))


def test_without_networks_no_peer_is_trusted() -> None:
    assert not is_trusted((), ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    ("text", "ip", "source", "trusted"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1", True),
        ("2001:db8::5", "2001:db8::5", "2001:db8::/64", False),
    ],
)
def test_an_address_says_what_it_counts_for_and_whether_it_is_trusted(
    text: str, ip: str, source: str, trusted: bool
) -> None:
    assert describe_peer(DEFAULT, text) == Peer(ip_address(ip), source, trusted)
