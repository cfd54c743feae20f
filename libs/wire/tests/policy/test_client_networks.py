"""Networks of clients: whom a service serves."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.policy.client_networks import (
    MAX_CIDRS,
    ClientNetworks,
    decode_networks,
    make_networks,
    parse_cidrs,
)

NETWORKS = st.one_of(
    st.builds(
        lambda ip, bits: str(ip_network((int(ip), bits), strict=False)),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    ),
    st.builds(
        lambda ip, bits: str(ip_network((int(ip), bits), strict=False)),
        st.ip_addresses(v=6).filter(lambda ip: int(ip) >> 64),
        st.integers(0, 128),
    ),
)
CIDRS = st.lists(NETWORKS, max_size=5, unique=True)


def is_allowed(address: str, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> bool:
    return ClientNetworks(allow, deny).allows(ip_address(address))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("192.0.2.9", False),
        ("::ffff:192.0.2.9", False),
        ("198.51.100.1", False),
        ("2001:db8::7", True),
        ("2001:db8::8", False),
        ("2001:db9::7", False),
    ],
)
def test_deny_wins_and_where_there_is_an_allow_only_its_clients_are_served(
    address: str, *, expected: bool
) -> None:
    allow, deny = ("192.0.2.0/24", "2001:db8::/32"), ("192.0.2.8/29", "2001:db8::8/128")

    assert is_allowed(address, allow, deny) is expected


def test_without_an_allow_all_but_the_denied_are_served() -> None:
    assert is_allowed("198.51.100.1", deny=("192.0.2.0/24",))
    assert not is_allowed("192.0.2.1", deny=("192.0.2.0/24",))
    assert not is_allowed("2001:db8::1", deny=("::/0",))
    assert is_allowed("192.0.2.1", deny=("::/0",))
    assert is_allowed("192.0.2.1")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("192.0.2.1", "192.0.2.1/32"),
        ("2001:DB8:0::1", "2001:db8::1/128"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_networks_have_one_form(text: str, parsed: str) -> None:
    assert parse_cidrs([text, text]) == (parsed,)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("192.0.2.1/24", "'192.0.2.1/24' is not a network such as 192.0.2.0/24"),
        ("example.eu", "'example.eu' is not a network such as 192.0.2.0/24 or 2001:db8::/32"),
        ("", "'' is not a network such as"),
        ("1" * 5000, "is not a network such as"),
        ("fe80::1%eth0", "is not a network such as"),
    ],
)
def test_other_texts_are_refused_with_what_was_meant(text: str, rule: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_cidrs(["192.0.2.0/24", text])

    assert caught.value.code is Code.BAD_NAME
    assert rule in caught.value.detail
    assert len(caught.value.detail) < 200


def test_a_service_has_so_many_networks_and_no_more() -> None:
    many = [f"192.0.2.{number}" for number in range(MAX_CIDRS)]

    assert make_networks(many, []) is not None
    assert make_networks([], []) is None
    with pytest.raises(ProtocolError, match="have 65 networks, at most 64"):
        make_networks(many, ["198.51.100.1"])


@pytest.mark.branches
@given(CIDRS, CIDRS)
def test_what_is_encoded_decodes_to_the_same(allow: list[str], deny: list[str]) -> None:
    networks = ClientNetworks(parse_cidrs(allow), parse_cidrs(deny))

    assert decode_networks(networks.encode()) == networks
    assert decode_networks(None) is decode_networks("") is None


@given(CIDRS, CIDRS, st.ip_addresses())
def test_who_is_denied_is_served_by_no_allow(allow: list[str], deny: list[str], ip: object) -> None:
    address = ip_address(str(ip))
    own = getattr(address, "ipv4_mapped", None) or address
    networks = ClientNetworks(parse_cidrs(allow), parse_cidrs(deny))
    is_denied = any(own in ip_network(each) for each in deny)
    is_named = any(own in ip_network(each) for each in allow)

    assert networks.allows(address) is (not is_denied and (is_named or not allow))
