"""Parser of a TLS client's first flight: the server name, read from bytes cut anywhere.

    record    | type 22 | version | length (u16) | fragment of the handshake ... |  any number of them
    handshake | type 1 | length (u24) | version | random 32 | session id | suites | compression | ext |

Only what routing needs is read, and every length is checked against the one that encloses it. With
Encrypted ClientHello the outer name is what is seen, and all that can be routed by.

Source: RFC 8446 §4.1.2, §5.1; RFC 6066 §3.
"""

from dataclasses import dataclass

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import Hostname, parse_server_name

MAX_HELLO_BYTES = 16 * 1024  # on the wire, record headers included; post-quantum ones take 2 KiB
_RECORD_HEADER, _HANDSHAKE_HEADER = 5, 4
_MAX_FRAGMENT_BYTES = 1 << 14
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_HTTP_METHODS = b"CDGHOPT"  # their first letters
_SERVER_NAME, _ALPN = 0, 16  # extensions
_HOST_NAME = 0

_ALERT_DECODE_ERROR, _ALERT_INTERNAL_ERROR, _ALERT_UNRECOGNIZED_NAME = 50, 80, 112
_ALERTS = {
    Code.NO_ROUTE: _ALERT_UNRECOGNIZED_NAME,
    Code.NO_SNI: _ALERT_UNRECOGNIZED_NAME,
    Code.BAD_SNI: _ALERT_UNRECOGNIZED_NAME,
    Code.BAD_HELLO: _ALERT_DECODE_ERROR,
    Code.HELLO_TOO_LARGE: _ALERT_DECODE_ERROR,
}


@dataclass(frozen=True, slots=True)
class ClientHello:
    """ClientHello, as far as routing needs it."""

    server_name: Hostname


@dataclass(frozen=True, slots=True)
class Incomplete:
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
    if header[1:2] and header[1] != 3:  # noqa: PLR2004 the major version of every SSL 3 and TLS
        raise ProtocolError(code, f"a record of version {header[1]}, where TLS has 3")
    if len(header) < _RECORD_HEADER:
        return 0
    length = int.from_bytes(header[3:5])
    if not 0 < length <= _MAX_FRAGMENT_BYTES:
        raise ProtocolError(Code.BAD_HELLO, f"record of {length} bytes")
    return length


class _Cursor:
    """Cursor over bytes that takes vectors off; each length must fit into what is left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ProtocolError(Code.BAD_HELLO, f"a length of {count} where {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> "_Cursor":
        return _Cursor(self.take(self.number(size)))


def _parse(handshake: bytes) -> ClientHello:
    body = _Cursor(handshake[_HANDSHAKE_HEADER:][: int.from_bytes(handshake[1:4])])
    body.take(2 + 32)
    body.vector(1)  # session id
    body.vector(2)  # cipher suites
    body.vector(1)  # compression methods
    extensions = _parse_extensions(body.vector(2)) if body.left else {}
    if body.left:
        raise ProtocolError(Code.BAD_HELLO, f"{body.left} bytes after the extensions")
    _check_alpn(extensions.get(_ALPN))
    if _SERVER_NAME not in extensions:
        raise ProtocolError(Code.NO_SNI, "the client names no host")
    return ClientHello(_parse_server_name(extensions[_SERVER_NAME]))


def _parse_extensions(cursor: _Cursor) -> dict[int, _Cursor]:
    found: dict[int, _Cursor] = {}
    while cursor.left:
        kind = cursor.number(2)
        if kind in found:
            raise ProtocolError(Code.BAD_HELLO, f"extension {kind} occurs twice")
        found[kind] = cursor.vector(2)
    return found


def _check_alpn(extension: _Cursor | None) -> None:
    """Check the list of protocols (RFC 7301 §3.1); which they are is the origin's affair."""
    if extension is not None:
        names = extension.vector(2)
        while names.left:
            names.vector(1)


def _parse_server_name(extension: _Cursor) -> Hostname:
    names = extension.vector(2)
    kind, name = names.number(1), names.vector(2)
    if kind != _HOST_NAME or names.left or extension.left:
        raise ProtocolError(Code.BAD_SNI, "expected exactly one host name")
    try:
        return parse_server_name(name.take(name.left).decode("ascii"))
    except UnicodeDecodeError as error:
        raise ProtocolError(Code.BAD_SNI, "a host name is ASCII") from error
