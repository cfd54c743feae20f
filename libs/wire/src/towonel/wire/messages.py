"""Control messages of edge and agent, and their codec on the control stream of a session.

     0               4
    +---------------+----------------------------+
    | length (u32)  | CBOR array [type, map]     |
    +---------------+----------------------------+

Unknown types and keys are ignored, so that a newer peer can send more.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from towonel.wire import cbor
from towonel.wire.cbor import Fields, field_error
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import NO_MESSAGE, Hints, read_hints, write_hints
from towonel.wire.session.service_lists import read_services, write_services
from towonel.wire.udp.datagrams import MAX_INDEX

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 64 * 1024
MAX_VERSIONS = 16
MAX_GRANT_BYTES = 1024
MAX_SOFTWARE_CHARS = 64
NONCE_BYTES = 32
SIGNATURE_BYTES = 64
SESSION_ID_BYTES = 16
SECRET_BYTES = 32
MAX_LANES = 65_536  # of a session: one address has no more ports to another
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Challenge:
    """Edge to agent, first of all: what to sign, and the versions that the edge supports."""

    type: ClassVar[int] = 1
    versions: tuple[int, ...]
    nonce: bytes
    edge_id: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """Agent to edge: its grant, its services, and the proof of its key."""

    type: ClassVar[int] = 2
    version: int
    grant: bytes
    services: tuple[ServiceKey, ...]
    signature: bytes
    software: str
    hints: Hints = NO_MESSAGE


@dataclass(frozen=True, slots=True)
class Welcome:
    """Edge to agent: the session is open; lanes to it may be dialled if there is a secret for them."""

    type: ClassVar[int] = 3
    session_id: bytes
    lane_secret: bytes | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Either way: bytes up to this offset may be sent, on a stream or, without an id, on all together."""

    type: ClassVar[int] = 4
    stream_id: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Either way: the sender reset its side of a stream after this many bytes."""

    type: ClassVar[int] = 5
    stream_id: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """Either way: open no more streams; open ones may finish."""

    type: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class Renew:
    """Agent to edge: a newer grant for the same agent and tenant."""

    type: ClassVar[int] = 7
    grant: bytes


@dataclass(frozen=True, slots=True)
class LanesWanted:
    """Edge to agent: how many idle lanes and lanes in use there should be, together."""

    type: ClassVar[int] = 8
    count: int


@dataclass(frozen=True, slots=True)
class TlsLanesWanted:
    """Edge to agent: the same of the lanes inside TLS that are a pool of their own (`tls_pool_id`)."""

    type: ClassVar[int] = 10
    count: int


@dataclass(frozen=True, slots=True)
class ServicesChanged:
    """Agent to edge: what it serves from now on, in place of what it said before."""

    type: ClassVar[int] = 9
    services: tuple[ServiceKey, ...]


@dataclass(frozen=True, slots=True)
class DatagramSecret:
    """Edge to agent: a secret for sealed packets, and the index that names it there; the newest is used."""

    type: ClassVar[int] = 11
    index: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EdgesChanged:
    """Edge to agent: the hub lists other edges; it is to be asked at some moment within so many ms."""

    type: ClassVar[int] = 13
    within_ms: int


type Message = (
    Challenge
    | Hello
    | Welcome
    | Window
    | Abandoned
    | GoAway
    | Renew
    | LanesWanted
    | TlsLanesWanted
    | ServicesChanged
    | DatagramSecret
    | Hints
    | EdgesChanged
)


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises:
        ProtocolError: TOO_LARGE for a frame that every peer would refuse.
    """
    body = cbor.encode([message.type, _WRITERS[type(message)](message)])
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"{type(message).__name__} of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Decoder of a control stream, cut anywhere, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message | None]:
        """Yield every message that `data` completes, None for a type that is not known; keep the rest.

        Raises:
            ProtocolError: TOO_LARGE for a frame above 64 KiB, before it is buffered; MALFORMED.
        """
        self._buffer += data
        while (body := self._take()) is not None:
            yield _decode(body)

    def _take(self) -> bytes | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME_BYTES:
            raise ProtocolError(Code.TOO_LARGE, f"control frame of {length} bytes")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body


def _decode(body: bytes) -> Message | None:
    item = cbor.decode(body)
    if not isinstance(item, list) or len(cast("list[object]", item)) != 2:  # noqa: PLR2004 [type, map]
        raise ProtocolError(Code.MALFORMED, "expected an array of type and map")
    kind, value = cast("tuple[object, object]", item)
    if not isinstance(kind, int) or isinstance(kind, bool):
        raise field_error("type", "must be an integer")
    reader = _READERS.get(kind)
    return reader(Fields.of(value)) if reader else None


def _read_challenge(fields: Fields) -> Challenge:
    versions = tuple(fields.items("versions", MAX_VERSIONS))
    if not all(isinstance(v, int) and not isinstance(v, bool) for v in versions):
        raise field_error("versions", "must be integers")
    nonce, edge_id = fields.octets("nonce", NONCE_BYTES), fields.octets("edge_id", 32)
    return Challenge(cast("tuple[int, ...]", versions), nonce, edge_id)


def _read_hello(fields: Fields) -> Hello:
    return Hello(
        fields.uint("version"),
        fields.octets("grant", at_most=MAX_GRANT_BYTES),
        read_services(fields),
        fields.octets("signature", SIGNATURE_BYTES),
        fields.text("software", MAX_SOFTWARE_CHARS),
        read_hints(Fields.of(fields.values.get("hints", {}))),
    )


def _read_welcome(fields: Fields) -> Welcome:
    has_lanes = fields.values.get("lane_secret") is not None
    secret = fields.octets("lane_secret", SECRET_BYTES) if has_lanes else None
    return Welcome(fields.octets("session_id", SESSION_ID_BYTES), secret)


def _read_window(fields: Fields) -> Window:
    whole_session = fields.values.get("stream_id") is None
    return Window(None if whole_session else fields.uint("stream_id"), fields.uint("limit"))


def _write_window(message: Window) -> Mapping[str, Any]:
    stream = {} if message.stream_id is None else {"stream_id": message.stream_id}
    return {**stream, "limit": message.limit}


def _write_welcome(message: Welcome) -> Mapping[str, Any]:
    secret = {} if message.lane_secret is None else {"lane_secret": message.lane_secret}
    return {"session_id": message.session_id, **secret}


def _write_hello(message: Hello) -> Mapping[str, Any]:
    return {
        "version": message.version,
        "grant": message.grant,
        "services": write_services(message.services),
        "signature": message.signature,
        "software": message.software,
        **({} if message.hints == NO_MESSAGE else {"hints": write_hints(message.hints)}),
    }


_READERS: Mapping[int, Callable[[Fields], Message]] = {
    Challenge.type: _read_challenge,
    Hello.type: _read_hello,
    Welcome.type: _read_welcome,
    Window.type: _read_window,
    Abandoned.type: lambda fields: Abandoned(fields.uint("stream_id"), fields.uint("sent_bytes")),
    GoAway.type: lambda _: GoAway(),
    Renew.type: lambda fields: Renew(fields.octets("grant", at_most=MAX_GRANT_BYTES)),
    LanesWanted.type: lambda fields: LanesWanted(fields.uint("count")),
    TlsLanesWanted.type: lambda fields: TlsLanesWanted(fields.uint("count")),
    ServicesChanged.type: lambda fields: ServicesChanged(read_services(fields)),
    DatagramSecret.type: lambda fields: DatagramSecret(
        fields.uint("index", MAX_INDEX), fields.octets("secret", SECRET_BYTES)
    ),
    Hints.type: read_hints,
    EdgesChanged.type: lambda fields: EdgesChanged(fields.uint("within_ms")),
}
_WRITERS: Mapping[type, Callable[[Any], Mapping[str, Any]]] = {
    Challenge: lambda m: {"versions": list(m.versions), "nonce": m.nonce, "edge_id": m.edge_id},
    Hello: _write_hello,
    Welcome: _write_welcome,
    Window: _write_window,
    Abandoned: lambda m: {"stream_id": m.stream_id, "sent_bytes": m.sent_bytes},
    GoAway: lambda _: {},
    Renew: lambda m: {"grant": m.grant},
    LanesWanted: lambda m: {"count": m.count},
    TlsLanesWanted: lambda m: {"count": m.count},
    ServicesChanged: lambda m: {"services": write_services(m.services)},
    DatagramSecret: lambda m: {"index": m.index, "secret": m.secret},
    Hints: write_hints,
    EdgesChanged: lambda m: {"within_ms": m.within_ms},
}
