from ipaddress import ip_address

import pytest

from towonel.edge.core.trusted import DEFAULT_NETWORKS, is_trusted, parse_networks

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
def test_machines_of_ones_own_are_trusted_by_default(address: str) -> None:
    assert is_trusted(DEFAULT, ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["172.32.0.1", "192.0.2.1", "::2", "2001:db8::1", "::ffff:192.0.2.1", "::", "11.0.0.0"],
)
def test_the_internet_is_not(address: str) -> None:
    assert not is_trusted(DEFAULT, ip_address(address))


def test_nobody_is_trusted_where_no_network_is() -> None:
    assert not is_trusted((), ip_address("127.0.0.1"))


def test_a_single_address_is_a_network_of_one() -> None:
    networks = parse_networks(["192.0.2.7"])

    assert is_trusted(networks, ip_address("192.0.2.7"))
    assert not is_trusted(networks, ip_address("192.0.2.8"))


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_networks([text])
