"""Codec of PROXY v2: the headers of the specification and the original, and no others."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire import proxy
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.proxy import Address, ProxyHeader

FIXTURE = bytes.fromhex(
    "0d0a0d0a000d0a515549540a 21 11 001d cb007107 c0000201 d431 01bb"
    "02 000e 6170702e6578616d706c652e6575"
)
HEADER = ProxyHeader(
    Address(IPv4Address("203.0.113.7"), 54321),
    Address(IPv4Address("192.0.2.1"), 443),
    ((proxy.TLV_AUTHORITY, b"app.example.eu"),),
)
PORTS = st.integers(0, 65535)
TLVS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5).map(tuple)
V6: st.SearchStrategy[IPv6Address] = st.builds(IPv6Address, st.integers(2**64, 2**128 - 1))
HEADERS = st.one_of(
    [
        st.builds(ProxyHeader, st.builds(Address, ips, PORTS), st.builds(Address, ips, PORTS), TLVS)
        for ips in (st.ip_addresses(v=4), V6)
    ]
)


def test_the_originals_fixture_is_read_and_written() -> None:
    assert proxy.encode(HEADER) == FIXTURE
    assert proxy.read(FIXTURE + b"rest") == (HEADER, len(FIXTURE))


@given(HEADERS)
def test_what_is_written_is_read(header: ProxyHeader) -> None:
    data = proxy.encode(header)

    assert proxy.read(data) == (header, len(data))
    assert proxy.read(data[:-1]) is None


@pytest.mark.parametrize("cut", range(len(FIXTURE)))
def test_a_header_cut_anywhere_waits_for_more(cut: int) -> None:
    assert proxy.read(FIXTURE[:cut]) is None


def replace_byte(at: int, value: int) -> bytes:
    return FIXTURE[:at] + bytes([value]) + FIXTURE[at + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        b"\x16\x03\x01",
        replace_byte(12, 0x11),  # version 1
        replace_byte(12, 0x22),  # a command that does not exist
        replace_byte(14, 0xFF),  # 65 309 bytes
        replace_byte(15, 11),  # too short for its addresses
        replace_byte(15, 13),  # a TLV of one byte
        replace_byte(30, 0x0F),  # a TLV longer than the rest
    ],
)
def test_other_headers_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        proxy.read(data)

    assert caught.value.code is Code.BAD_PROXY_HEADER


@pytest.mark.parametrize(
    "data",
    [
        proxy.SIGNATURE + bytes.fromhex("20 00 0000"),  # as HAProxy's check-send-proxy
        proxy.SIGNATURE + bytes.fromhex("20 11 000c") + bytes(12),
        replace_byte(12, 0x20),  # LOCAL with addresses, which are not read
        proxy.SIGNATURE + bytes.fromhex("21 00 0000"),  # UNSPEC
        replace_byte(13, 0x00),
        replace_byte(13, 0x12),  # UDP
        replace_byte(13, 0x31),  # unix
        replace_byte(13, 0xF7),  # unassigned
    ],
)
def test_a_header_without_addresses_of_tcp_leaves_those_of_the_connection(data: bytes) -> None:
    assert proxy.read(data + b"rest") == (None, len(data))
    assert proxy.read(data[:-1]) is None


def test_a_header_says_how_long_it_is_once_its_fixed_part_is_there() -> None:
    assert {proxy.count_needed(FIXTURE[:cut]) for cut in range(16)} == {16}
    assert proxy.count_needed(FIXTURE[:16]) == proxy.count_needed(FIXTURE) == len(FIXTURE)


def test_version_1_is_refused_by_its_name() -> None:
    with pytest.raises(ProtocolError, match="PROXY v1, only v2"):
        proxy.read(b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n")


@pytest.mark.parametrize(
    ("source", "destination", "written"),
    [
        ("::ffff:192.0.2.7", "::ffff:192.0.2.1", ("192.0.2.7", "192.0.2.1")),
        ("192.0.2.7", "::", ("192.0.2.7", "0.0.0.0")),  # noqa: S104
        ("192.0.2.7", "2001:db8::1", ("::ffff:192.0.2.7", "2001:db8::1")),
        ("2001:db8::1", "192.0.2.7", ("2001:db8::1", "::ffff:192.0.2.7")),
    ],
)
def test_families_meet(source: str, destination: str, written: tuple[str, str]) -> None:
    header = ProxyHeader(Address(ip_address(source), 1), Address(ip_address(destination), 2))
    found = proxy.read(proxy.encode(header))

    assert found is not None
    assert found[0] is not None
    assert (found[0].source.ip, found[0].destination.ip) == tuple(map(ip_address, written))


@given(st.binary(max_size=100).map(lambda data: FIXTURE[:13] + data))
def test_garbage_after_the_signature_is_read_or_refused(data: bytes) -> None:
    try:
        found = proxy.read(data)
    except ProtocolError as error:
        assert error.code is Code.BAD_PROXY_HEADER
    else:
        assert found is None or found[1] <= len(data)


def test_addresses_are_shown_as_people_write_them() -> None:
    assert str(Address(IPv6Address("::1"), 443)) == "[::1]:443"
    assert str(HEADER.source) == "203.0.113.7:54321"
