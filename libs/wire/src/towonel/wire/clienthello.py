"""Parser of a TLS client's first flight: the server name, read from bytes cut anywhere.

    record    | type 22 | version | length (u16) | fragment of the handshake ... |  any number of them
    handshake | type 1 | length (u24) | version | random 32 | session id | suites | compression | ext |

Only what routing needs is read, and every length is checked against the one that encloses it. With
Encrypted ClientHello the outer name is what is seen, and all that can be routed by.

Source: RFC 8446 §4.1.2, §5.1; RFC 6066 §3.
"""

import struct
from typing import NamedTuple

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname, parse_server_name

MAX_HELLO_BYTES = 16 * 1024  # on the wire, record headers included; post-quantum ones take 2 KiB
_RECORD_HEADER, _HANDSHAKE_HEADER = 5, 4
_MAX_FRAGMENT_BYTES = 1 << 14
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_MAJOR = 3  # of the version of every SSL 3 and TLS
_HTTP_METHODS = b"CDGHOPT"  # their first letters
_SERVER_NAME, _ALPN, _EARLY_DATA = 0, 16, 42  # extensions
_HOST_NAME = 0
_EXTENSION = struct.Struct(">HH")

_ALERT_DECODE_ERROR, _ALERT_INTERNAL_ERROR, _ALERT_UNRECOGNIZED_NAME = 50, 80, 112
_ALERT_ACCESS_DENIED = 49
_ALERTS = {
    Code.NO_ROUTE: _ALERT_UNRECOGNIZED_NAME,
    Code.NO_SNI: _ALERT_UNRECOGNIZED_NAME,
    Code.BAD_SNI: _ALERT_UNRECOGNIZED_NAME,
    Code.CLIENT_NOT_ALLOWED: _ALERT_ACCESS_DENIED,
    Code.BAD_HELLO: _ALERT_DECODE_ERROR,
    Code.HELLO_TOO_LARGE: _ALERT_DECODE_ERROR,
}


class ClientHello(NamedTuple):
    """ClientHello, as far as routing needs it.

    Args:
        server_name: that the client asks for.
        has_early_data: whether requests may follow at once, which must not reach two origins.
        protocols: that the client offers (ALPN), by which lanes of agents are told from clients.
    """

    server_name: Hostname
    has_early_data: bool = False
    protocols: tuple[bytes, ...] = ()


class Incomplete(NamedTuple):
    """Result for valid bytes that are too few: `needed` in all, at least, before the next try."""

    needed: int


def read(data: bytes) -> ClientHello | Incomplete:
    """Read the first flight of a client, of which `data` is the beginning.

    Args:
        data: the bytes so far from the first record header; may be cut anywhere, and may go on
            after the hello.

    Raises:
        ProtocolError: NOT_TLS, BAD_HELLO, HELLO_TOO_LARGE above 16 KiB, NO_SNI or BAD_SNI.
    """
    whole = _read_one_record(data)
    return _read_records(data) if whole is None else _parse(whole)


def may_happen_twice(hello: ClientHello, data: bytes) -> bool:
    """Whether a first flight asks for nothing: it is a whole ClientHello, and neither has nor brings data.

    Args:
        hello: what `data` was read as.
        data: from the first record header to the last byte that has come.
    """
    at = 0
    while at < len(data) and data[at] == _HANDSHAKE:
        at += _RECORD_HEADER + int.from_bytes(data[at + 3 : at + _RECORD_HEADER])
    return at == len(data) and not hello.has_early_data


def _read_one_record(data: bytes) -> bytes | None:
    """Return the hello, if it has come whole and in one record, as most do."""
    fixed = _RECORD_HEADER + _HANDSHAKE_HEADER
    if len(data) < fixed or data[0] != _HANDSHAKE or data[1] != _MAJOR or data[5] != _CLIENT_HELLO:
        return None
    record = int.from_bytes(data[3:5])
    end = fixed + int.from_bytes(data[6:9])
    if end > len(data) or end > _RECORD_HEADER + record or record > _MAX_FRAGMENT_BYTES:
        return None
    return data[_RECORD_HEADER:end] if end <= MAX_HELLO_BYTES else None


def _read_records(data: bytes) -> ClientHello | Incomplete:
    handshake = bytearray()
    at = 0
    while True:
        need = _bytes_needed(handshake, at)
        if need is None:
            break
        if len(data) - at < _RECORD_HEADER:
            _check_header(data[at:], first=at == 0)
            return Incomplete(max(need, at + _RECORD_HEADER))
        end = at + _RECORD_HEADER + _check_header(data[at : at + _RECORD_HEADER], first=at == 0)
        handshake += data[at + _RECORD_HEADER : end]
        if len(data) < end and (rest := _bytes_needed(handshake, len(data))) is not None:
            return Incomplete(min(max(rest, len(data) + 1), end))
        at = end
    return _parse(bytes(handshake))


def alert(code: Code) -> bytes:
    """Return the TLS alert record that says why a client is refused; empty for one without TLS.

    Source: RFC 8446 §6.2.
    """
    if code in {Code.NOT_TLS, Code.CLIENT_CLOSED}:
        return b""
    return bytes([21, 3, 3, 0, 2, 2, _ALERTS.get(code, _ALERT_INTERNAL_ERROR)])


def _bytes_needed(handshake: bytearray, at: int) -> int | None:
    """Return the bytes needed for the whole hello, at least, after `at` of them; None if complete."""
    if len(handshake) < _HANDSHAKE_HEADER:
        missing = _HANDSHAKE_HEADER - len(handshake)
    else:
        missing = _HANDSHAKE_HEADER + int.from_bytes(handshake[1:4]) - len(handshake)
    if handshake and handshake[0] != _CLIENT_HELLO:
        raise ProtocolError(Code.BAD_HELLO, f"handshake message {handshake[0]} comes first")
    if missing > 0 and at + missing > MAX_HELLO_BYTES:
        raise ProtocolError(Code.HELLO_TOO_LARGE, f"{at + missing} bytes and more")
    return at + missing if missing > 0 else None


def _describe_type(found: int, *, first: bool) -> str:
    """Return what a byte is that is not the type of a handshake record."""
    if not first:
        return f"the ClientHello goes on in a record of type {found}, not {_HANDSHAKE}"
    plain = ": HTTP without TLS? Use https" if found in _HTTP_METHODS else ""
    return f"the first byte is {found:#04x}, where TLS has {_HANDSHAKE:#04x}{plain}"


def _check_header(header: bytes, *, first: bool) -> int:
    """Return the length in a record header, or 0 if it is cut; every byte there must be TLS."""
    code = Code.NOT_TLS if first else Code.BAD_HELLO
    if header[:1] and header[0] != _HANDSHAKE:
        raise ProtocolError(code, _describe_type(header[0], first=first))
    if header[1:2] and header[1] != _MAJOR:
        raise ProtocolError(code, f"a record of version {header[1]}, where TLS has {_MAJOR}")
    if len(header) < _RECORD_HEADER:
        return 0
    length = int.from_bytes(header[3:5])
    if not 0 < length <= _MAX_FRAGMENT_BYTES:
        raise ProtocolError(Code.BAD_HELLO, f"record of {length} bytes")
    return length


def _vector(data: bytes, at: int, size: int, end: int) -> tuple[int, int]:
    """Return where the content of a vector begins and ends; its length takes `size` bytes at `at`."""
    begin = at + size
    after = begin + int.from_bytes(data[at:begin])
    if begin > end or after > end:
        raise ProtocolError(Code.BAD_HELLO, f"a length at {at} goes beyond {end}")
    return begin, after


def _parse(handshake: bytes) -> ClientHello:
    end = _HANDSHAKE_HEADER + int.from_bytes(handshake[1:4])
    at = _after_compression(handshake, end)
    extensions = _parse_extensions(handshake, at, end) if at < end else {}
    protocols = _parse_alpn(handshake, *extensions[_ALPN]) if _ALPN in extensions else ()
    if _SERVER_NAME not in extensions:
        raise ProtocolError(Code.NO_SNI, "the client names no host")
    name = _parse_server_name(handshake, *extensions[_SERVER_NAME])
    return ClientHello(name, _EARLY_DATA in extensions, protocols)


def _after_compression(handshake: bytes, end: int) -> int:
    """Return where the session id, the cipher suites and the compression methods are over."""
    at = _HANDSHAKE_HEADER + 2 + 32
    try:
        at += 1 + handshake[at]
        at += 2 + (handshake[at] << 8) + handshake[at + 1]
        at += 1 + handshake[at]
    except IndexError:
        at = end + 1
    if at > end:
        raise ProtocolError(Code.BAD_HELLO, f"a length goes beyond {end}")
    return at


def _parse_extensions(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Return where the content of each extension begins and ends."""
    found: dict[int, tuple[int, int]] = {}
    at, last = _vector(data, at, 2, end)
    if last != end:
        raise ProtocolError(Code.BAD_HELLO, f"{end - last} bytes after the extensions")
    while at < last:
        begin = at + _EXTENSION.size
        if begin > last:
            raise ProtocolError(Code.BAD_HELLO, f"a length at {at + 2} goes beyond {last}")
        kind, length = _EXTENSION.unpack_from(data, at)
        if kind in found:
            raise ProtocolError(Code.BAD_HELLO, f"extension {kind} occurs twice")
        at = begin + length
        if at > last:
            raise ProtocolError(Code.BAD_HELLO, f"a length at {begin - 2} goes beyond {last}")
        found[kind] = begin, at
    return found


def _parse_alpn(data: bytes, begin: int, end: int) -> tuple[bytes, ...]:
    """Return the protocols that a client offers (RFC 7301 §3.1)."""
    found: list[bytes] = []
    at, last = _vector(data, begin, 2, end)
    while at < last:
        begin, at = _vector(data, at, 1, last)
        found.append(data[begin:at])
    return tuple(found)


def _parse_server_name(data: bytes, at: int, end: int) -> Hostname:
    at, last = _vector(data, at, 2, end)
    begin, after = _vector(data, at + 1, 2, last)
    if data[at] != _HOST_NAME or after != last or last != end:
        raise ProtocolError(Code.BAD_SNI, "expected exactly one host name")
    try:
        return parse_server_name(data[begin:after].decode("ascii"))
    except UnicodeDecodeError as error:
        raise ProtocolError(Code.BAD_SNI, "a host name is ASCII") from error
