"""Messages of an agent's control and workers, over `towonel.relay.channel`.

    control ──▶ worker    Start, Origins (as many as are needed), then what happens: Session, LanesWanted,
                          SessionGoingAway, SessionEnded, Resolved, Origins, Drain
    worker ──▶ control    Ready; each second Counters, SessionLanes of each session, and Refused and
                          HeadersUnread of services that have some; Resolve, LanesFailed, LanesWorking, Crashed,
                          Drained

The descriptor of the counts of clients (`core.client_counts`) goes with Start; no other message has one. Both ends are of one version, since control starts the worker from its own installation: a field that is
missing or of the wrong name ends the worker, and fields unknown here are dropped. Codes travel as numbers.
Counters are totals since the worker's start, so that a message may be lost or late.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, cast

from towonel.agent.core.origin_attempts import SocketAddress
from towonel.relay.channel import ChannelMessage
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey, ServiceKind

type ServiceName = tuple[str, str]  # its kind, and its name
type Addresses = tuple[SocketAddress, ...]
type Ports = tuple[int, int]  # the first and the last of a range
type TlsFacts = tuple[str, str | None, bool]  # the fields of an `OriginTls`
type OriginFacts = tuple[
    ServiceName, bool, Addresses | None, float, int, Ports | None, TlsFacts | None
]

ORIGINS_PER_MESSAGE: Final = 50  # of at most about 1200 bytes each, below the 64 KiB of a message


@dataclass(frozen=True, slots=True)
class Start:
    """Settings, first of all.

    Args:
        origin_timeout_s: for which an origin is dialled.
        max_streams: clients at once.
        orphan_s: for clients to end after control is gone.
        workers: how many there are.
        number: of this one, from 0.
        engine: as of `hop.choice.Engine`.
    """

    kind: ClassVar[str] = "start"
    origin_timeout_s: float
    max_streams: int
    orphan_s: float
    workers: int = 1
    number: int = 0
    engine: str = "auto"


@dataclass(frozen=True, slots=True)
class Origins:
    """Origins that are new, or changed, and services that have none any more.

    Of each origin: its service, whether PROXY v2 is wanted, its addresses (None for a name), for how many seconds a
    client may send and get nothing, 0 for ever, how many bytes it may send to a client of UDP that is not heard,
    the range of ports of which each client gets the one that it used, None for the port of the addresses, and the TLS
    that is spoken to it, None for none.
    """

    kind: ClassVar[str] = "origins"
    origins: tuple[OriginFacts, ...] = ()
    ended: tuple[ServiceName, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """Session to dial so many lanes for: of these kinds, in order of preference."""

    kind: ClassVar[str] = "session"
    id: bytes
    secret: bytes
    edge_id: bytes
    certificate_hash: bytes
    host: str
    port: int
    server_name: str
    kinds: tuple[str, ...]
    wanted: int


@dataclass(frozen=True, slots=True)
class LanesWanted:
    """Number of lanes of a session that the worker is to keep."""

    kind: ClassVar[str] = "lanes_wanted"
    id: bytes
    count: int


@dataclass(frozen=True, slots=True)
class SessionGoingAway:
    """Session on which no new clients come."""

    kind: ClassVar[str] = "session_going_away"
    id: bytes


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Session that is over; its clients may finish, or are cut off for a code."""

    kind: ClassVar[str] = "session_ended"
    id: bytes
    cut: int | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Answer to `Resolve`: the addresses that an origin's name stands for now, none if it fails."""

    kind: ClassVar[str] = "resolved"
    service: ServiceName
    addresses: Addresses


@dataclass(frozen=True, slots=True)
class Drain:
    """Request to take no more clients, and to say `Drained` once there is none."""

    kind: ClassVar[str] = "drain"


@dataclass(frozen=True, slots=True)
class Ready:
    """First message of a worker."""

    kind: ClassVar[str] = "ready"


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since the worker's start, but for `active`, clients that it has now.

    `accepted` and `lanes_admitted` are by kind of lane, the others by code.
    """

    kind: ClassVar[str] = "counters"
    active: int = 0
    accepted: tuple[tuple[str, int], ...] = ()
    completed: int = 0
    errors: tuple[tuple[int, int], ...] = ()
    to_origin: int = 0
    to_edge: int = 0
    lanes_admitted: tuple[tuple[str, int], ...] = ()
    lanes_lost: tuple[tuple[int, int], ...] = ()
    lanes_failed: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SessionLanes:
    """Lanes of a session now."""

    kind: ClassVar[str] = "lanes"
    id: bytes
    idle: int
    in_use: int
    dialing: int
    wanted: int


@dataclass(frozen=True, slots=True)
class LanesFailed:
    """Session whose edge takes no lanes of the worker: three admissions failed in a row."""

    kind: ClassVar[str] = "lanes_failed"
    id: bytes
    code: int


@dataclass(frozen=True, slots=True)
class LanesWorking:
    """Session of which a lane works, the first at all or after failures."""

    kind: ClassVar[str] = "lanes_working"
    id: bytes


@dataclass(frozen=True, slots=True)
class Resolve:
    """Request to look the name of a service's origin up now."""

    kind: ClassVar[str] = "resolve"
    service: ServiceName


@dataclass(frozen=True, slots=True)
class Refused:
    """Clients of a service that were refused since the last such message; `detail` is of the last of them."""

    kind: ClassVar[str] = "refused"
    service: ServiceName
    code: int
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HeadersUnread:
    """PROXY headers that an origin did not read since the last such message."""

    kind: ClassVar[str] = "headers_unread"
    service: ServiceName
    count: int


@dataclass(frozen=True, slots=True)
class Crashed:
    """Exception that is a bug, and has ended one client; for the log."""

    kind: ClassVar[str] = "crashed"
    traceback: str


@dataclass(frozen=True, slots=True)
class Drained:
    """Answer to `Drain`: no client is left."""

    kind: ClassVar[str] = "drained"


type Down = (
    Start | Origins | Session | LanesWanted | SessionGoingAway | SessionEnded | Resolved | Drain
)
type Up = (
    Ready
    | Counters
    | SessionLanes
    | LanesFailed
    | LanesWorking
    | Resolve
    | Refused
    | HeadersUnread
    | Crashed
    | Drained
)
type Message = Down | Up

_CLASSES: Final[Mapping[str, type[Message]]] = {
    cls.kind: cls
    for cls in (
        *(Start, Origins, Session, LanesWanted, SessionGoingAway, SessionEnded, Resolved, Drain),
        *(Ready, Counters, SessionLanes, LanesFailed, LanesWorking, Resolve, Refused),
        *(HeadersUnread, Crashed, Drained),
    )
}


def encode(message: Message) -> Mapping[str, Any]:
    """Return the fields of a message, which travel with its `kind`."""
    return {field.name: getattr(message, field.name) for field in fields(message)}


def decode(message: ChannelMessage) -> Message:
    """Return a message of the channel as what it is.

    Raises:
        ProtocolError: UNEXPECTED_MESSAGE, or MALFORMED where fields are missing.
    """
    cls = _CLASSES.get(message.kind)
    if cls is None:
        raise ProtocolError(Code.UNEXPECTED_MESSAGE, message.kind)
    names = {field.name for field in fields(cls)}
    values: dict[str, Any] = {
        name: _freeze(value) for name, value in message.fields.items() if name in names
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise ProtocolError(Code.MALFORMED, f"{message.kind}: {error}") from None


def name_service(key: ServiceKey) -> ServiceName:
    """Return a service as it travels."""
    return str(key.kind), key.name


def to_key(name: ServiceName) -> ServiceKey:
    """Return the service of a name that has travelled."""
    return ServiceKey(ServiceKind(name[0]), name[1])


def _freeze(value: object) -> object:
    """Return arrays as tuples."""
    if isinstance(value, list):
        return tuple(map(_freeze, cast("list[object]", value)))
    return value
