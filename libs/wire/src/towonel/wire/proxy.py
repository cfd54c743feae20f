"""Codec of PROXY protocol v2: the header that carries a client's address in front of its bytes.

     0                       12    13    14        16
    +-----------------------+-----+-----+---------+-----------------------------+
    | signature             | cmd | fam | length  | addresses, then TLVs        |
    +-----------------------+-----+-----+---------+-----------------------------+
    cmd 0x21 PROXY, 0x20 LOCAL: the sender speaks for itself, as its health checks do
    fam 0x11: 4 + 4 + 2 + 2 bytes, 0x21: 16 + 16 + 2 + 2; TLV: type, length (u16), value

Source: HAProxy's proxy-protocol.txt §2.2.
"""

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, override

from towonel.wire.addresses import format_address
from towonel.wire.errors import Code, ProtocolError

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_HEADER_BYTES = 4096  # addresses and TLVs of any honest sender are far below
TLV_AUTHORITY = 0x02
_LOCAL, _PROXY = 0x20, 0x21  # the version, 2, and the command
_VERSION_1 = b"PROXY "
_TCP4, _TCP6 = 0x11, 0x21
_FIXED = struct.Struct(">12sBBH")
_TLV = struct.Struct(">BH")
LOCAL = _FIXED.pack(SIGNATURE, _LOCAL, 0, 0)
_PORTS = struct.Struct(">HH")
_ADDRESSES_4 = struct.Struct(">IIHH")


class Address(NamedTuple):
    """IP address and port."""

    ip: IPv4Address | IPv6Address
    port: int

    @override
    def __str__(self) -> str:
        return format_address(str(self.ip), self.port)


class ProxyHeader(NamedTuple):
    """PROXY header: the source and destination of a connection, and more in TLVs."""

    source: Address
    destination: Address
    tlvs: tuple[tuple[int, bytes], ...] = ()


def encode(header: ProxyHeader) -> bytes:
    """Return the header's bytes; IPv4 inside IPv6 is unmapped, and mixed families meet in IPv6.

    A client on IPv4 that reached an unspecified IPv6 address reached 0.0.0.0: both stay IPv4.
    """
    return encode_addresses(header.source, header.destination, encode_tlvs(header.tlvs))


def encode_addresses(client: Address, local: Address, tlvs: bytes) -> bytes:
    """Return the bytes of a header whose TLVs are bytes already."""
    source, destination = client.ip, local.ip
    if type(source) is not IPv4Address or type(destination) is not IPv4Address:
        source, destination = _to_one_family(source, destination)
    if isinstance(source, IPv4Address):
        family, addresses = (
            _TCP4,
            _ADDRESSES_4.pack(int(source), int(destination), client.port, local.port),
        )
    else:
        ports = _PORTS.pack(client.port, local.port)
        family, addresses = _TCP6, source.packed + destination.packed + ports
    return _FIXED.pack(SIGNATURE, _PROXY, family, len(addresses) + len(tlvs)) + addresses + tlvs


def encode_tlvs(tlvs: tuple[tuple[int, bytes], ...]) -> bytes:
    """Return the bytes of TLVs."""
    return b"".join(_TLV.pack(kind, len(value)) + value for kind, value in tlvs)


def read(data: bytes) -> tuple[ProxyHeader | None, int] | None:
    """Return the header that `data` begins with and its length in bytes, or None to wait for more.

    The header is None where it names no addresses of TCP: command LOCAL, or a family that is
    unspecified or unknown. Then those of the connection itself hold.

    Raises:
        ProtocolError: BAD_PROXY_HEADER for another version or command, a header above 4 KiB, or
            addresses and TLVs that do not fill it exactly.
    """
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        is_version_1 = data.startswith(_VERSION_1)
        raise _error("PROXY v1, only v2 is read" if is_version_1 else "no PROXY v2 signature")
    if len(data) < _FIXED.size:
        return None
    _, command, family, length = _FIXED.unpack_from(data)
    if command not in {_LOCAL, _PROXY}:
        raise _error(f"version and command {command:#x}, only 0x21 (PROXY) and 0x20 (LOCAL) exist")
    end = _FIXED.size + length
    if end > MAX_HEADER_BYTES:
        raise _error(f"{end} bytes, at most {MAX_HEADER_BYTES} are taken")
    if len(data) < end:
        return None
    if command == _LOCAL or family not in {_TCP4, _TCP6}:
        return None, end
    return _parse(family, data[_FIXED.size : end]), end


def count_needed(data: bytes) -> int:
    """Return how many bytes the header has that `data` begins with, or as many as it takes to know that."""
    if len(data) < _FIXED.size:
        return _FIXED.size
    return _FIXED.size + int.from_bytes(data[_FIXED.size - 2 : _FIXED.size])


def _parse(family: int, body: bytes) -> ProxyHeader:
    size, make = (4, _ipv4) if family == _TCP4 else (16, _ipv6)
    addresses = 2 * size + 4
    if len(body) < addresses:
        raise _error("too short for its addresses")
    ports = _PORTS.unpack_from(body, 2 * size)
    source = Address(make(body[:size]), ports[0])
    destination = Address(make(body[size : 2 * size]), ports[1])
    return ProxyHeader(source, destination, _parse_tlvs(body[addresses:]))


_ipv4, _ipv6 = lru_cache(maxsize=4096)(IPv4Address), lru_cache(maxsize=4096)(IPv6Address)


@lru_cache(maxsize=256)  # the clients of a service have the same; at most 4 KiB each
def _parse_tlvs(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if len(data) - at < _TLV.size:
            raise _error("a TLV is cut")
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        if length > len(data) - at:
            raise _error(f"TLV {kind:#x} is longer than the header")
        found.append((kind, data[at : at + length]))
        at += length
    return tuple(found)


def _to_one_family(
    source: IPv4Address | IPv6Address, destination: IPv4Address | IPv6Address
) -> tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]:
    source, destination = _unmap(source), _unmap(destination)
    if isinstance(source, IPv4Address) and isinstance(destination, IPv6Address):
        destination = IPv4Address(0) if destination.is_unspecified else destination
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        return source, destination
    return _map(source), _map(destination)


def _unmap(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _map(ip: IPv4Address | IPv6Address) -> IPv6Address:
    return ip if isinstance(ip, IPv6Address) else IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed)


def _error(detail: str) -> ProtocolError:
    return ProtocolError(Code.BAD_PROXY_HEADER, detail)
