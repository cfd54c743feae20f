"""IP addresses: URLs of listeners, networks, and what counts as one source."""

from ipaddress import ip_address

import pytest

from towonel.runtime.addresses import (
    describe_clash,
    is_ip,
    loopback_url,
    parse_address,
    parse_networks,
    source_of,
    unmap,
)


@pytest.mark.parametrize(
    ("listen_addr", "url"),
    [
        (("192.0.2.1", 80), "http://192.0.2.1:80"),
        (("0.0.0.0", 80), "http://127.0.0.1:80"),  # noqa: S104 compared, never bound
        (("::", 80), "http://[::1]:80"),
        (("2001:db8::1", 80), "http://[2001:db8::1]:80"),
    ],
)
def test_a_listener_is_reached_from_its_own_machine(listen_addr: tuple[str, int], url: str) -> None:
    assert loopback_url(listen_addr) == url


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80)),
        (("0.0.0.0", 80), ("127.0.0.1", 80)),  # noqa: S104
        (("a.eu", 80), ("0.0.0.0", 80)),  # noqa: S104
        (("::", 80), ("::1", 80)),
    ],
)
def test_listeners_of_one_port_clash_where_one_takes_the_address_of_the_other(
    one: tuple[str, int], other: tuple[str, int]
) -> None:
    assert str(describe_clash(one, "A", other)).endswith("; set another port")
    assert "is taken by A=" in str(describe_clash(other, "A", one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 81)),
        (("127.0.0.1", 80), ("127.0.0.2", 80)),
        (("127.0.0.1", 0), ("127.0.0.1", 0)),
        (("::1", 80), ("0.0.0.0", 80)),  # noqa: S104
        (("127.0.0.1", 80), None),
    ],
)
def test_other_listeners_do_not_clash(one: tuple[str, int], other: tuple[str, int] | None) -> None:
    assert describe_clash(one, "A", other) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("[::1]", False), ("a.eu", False), ("", False)],
)
def test_an_ip_address_is_told_from_all_else(text: str, expected: bool) -> None:
    assert is_ip(text) is expected


def test_a_single_address_is_a_network_of_one() -> None:
    [network] = parse_networks(["192.0.2.7"])

    assert ip_address("192.0.2.7") in network
    assert ip_address("192.0.2.8") not in network


def test_every_invalid_network_is_named_with_one_that_is_valid() -> None:
    with pytest.raises(ValueError, match="network") as caught:
        parse_networks(["nonsense", "10.0.0.1/8", "192.0.2.0/24", "10.0.0.0/33", ""])

    assert str(caught.value).splitlines() == [
        "'nonsense' is not a network such as 10.0.0.0/8 or fd00::/8",
        "'10.0.0.1/8' is not a network such as 10.0.0.0/8",
        "'10.0.0.0/33' is not a network such as 10.0.0.0/8 or fd00::/8",
        "'' is not a network such as 10.0.0.0/8 or fd00::/8",
    ]


@pytest.mark.parametrize(
    ("address", "unmapped"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_an_ipv4_address_inside_ipv6_is_that_ipv4_address(address: str, unmapped: str) -> None:
    assert unmap(ip_address(address)) == ip_address(unmapped)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ],
)
def test_an_ipv6_source_is_its_whole_64_bit_network(address: str, source: str) -> None:
    assert source_of(ip_address(address)) == source


@pytest.mark.parametrize(
    "text", ["", "a", ":1", "a:", "a:b", "::1:443", "a:65536", "a:-1", "a:²", "a b:1", "a:123456"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|port must|brackets|host must"):
        parse_address(text)


@pytest.mark.parametrize("port", [0, 443, 65535])
def test_addresses_are_host_and_port(port: int) -> None:
    assert parse_address(f"0.0.0.0:{port}") == ("0.0.0.0", port)  # noqa: S104
    assert parse_address(f"[::1]:{port}") == ("::1", port)
    assert parse_address(f"my_app.example.eu.:{port}") == ("my_app.example.eu.", port)
