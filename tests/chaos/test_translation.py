"""Translation of prefixes: the packets that come out of it have the checksums that their receiver computes."""

import struct
from ipaddress import IPv4Address
from random import Random

import pytest
from support.chaos.packet_relay import TO_HOME, TO_PUBLIC, Prefixes
from support.chaos.translation import DESTINATION_AT, SOURCE_AT, translate

TCP, UDP, ICMP = 6, 17, 1
HOME, PUBLIC = IPv4Address("10.99.1.2"), IPv4Address("10.99.0.1")
OUTSIDE = IPv4Address("10.99.2.2")


def checksum(data: bytes | bytearray) -> int:
    """Return the checksum of the internet (RFC 1071), computed as a whole."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(
    payload: bytes, protocol: int, source: IPv4Address, destination: IPv4Address, offset: int = 0
) -> bytes:
    """Return an IPv4 packet with a right checksum of its header."""
    size = 20 + len(payload)
    fields = (0x45, 0, size, 7, offset, 64, protocol, 0, source.packed, destination.packed)
    head = bytearray(struct.pack("!BBHHHBBH4s4s", *fields))
    head[10:12] = checksum(head).to_bytes(2)
    return bytes(head) + payload


def segment(protocol: int, source: IPv4Address, destination: IPv4Address, data: bytes) -> bytes:
    """Return a packet of TCP or UDP with right checksums."""
    size, at = (20, 16) if protocol == TCP else (8, 6)
    body = bytearray(size) + data
    body[0:4] = struct.pack("!HH", 1234, 443)
    if protocol == UDP:
        body[4:6] = len(body).to_bytes(2)
    pseudo = source.packed + destination.packed + struct.pack("!HH", protocol, len(body))
    body[at : at + 2] = (checksum(pseudo + body) or 0xFFFF).to_bytes(2)
    return ip_packet(bytes(body), protocol, source, destination)


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_both_directions_come_out_as_if_they_had_been_made_so(protocol: int) -> None:
    rng, prefixes = Random(1), Prefixes(HOME.packed[:3], OUTSIDE.packed[:3])
    for size in range(200):
        data = rng.randbytes(size)
        there = prefixes.change(TO_PUBLIC, segment(protocol, HOME, PUBLIC, data))
        back = prefixes.change(TO_HOME, segment(protocol, PUBLIC, OUTSIDE, data))

        assert there == segment(protocol, OUTSIDE, PUBLIC, data)
        assert back == segment(protocol, PUBLIC, HOME, data)


def test_a_checksum_of_udp_that_becomes_zero_is_written_as_the_other_zero() -> None:
    packets = (segment(UDP, HOME, PUBLIC, number.to_bytes(2)) for number in range(65_536))
    changed = [translate(packet, SOURCE_AT, OUTSIDE.packed[:3]) for packet in packets]

    assert changed == [
        segment(UDP, OUTSIDE, PUBLIC, number.to_bytes(2)) for number in range(65_536)
    ]


def test_what_has_no_checksum_gets_none() -> None:
    datagram = struct.pack("!HHHH", 1, 2, 8, 0)
    cases = (
        (datagram, UDP, 0),
        (b"echo" * 5, ICMP, 0),
        (b"rest" * 5, TCP, 5),  # a later fragment
    )
    for payload, protocol, offset in cases:
        packet = ip_packet(payload, protocol, PUBLIC, OUTSIDE, offset)

        assert translate(packet, DESTINATION_AT, HOME.packed[:3]) == ip_packet(
            payload, protocol, PUBLIC, HOME, offset
        )


def test_packets_for_an_address_that_home_has_no_more_are_dropped() -> None:
    prefixes = Prefixes(HOME.packed[:3], IPv4Address("10.99.3.0").packed[:3])

    assert prefixes.change(TO_HOME, segment(TCP, PUBLIC, OUTSIDE, b"x")) is None


def test_packets_of_another_version_are_dropped() -> None:
    prefixes = Prefixes(HOME.packed[:3], OUTSIDE.packed[:3])

    assert prefixes.change(TO_PUBLIC, b"\x60" + bytes(39)) is None
