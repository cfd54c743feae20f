"""Messages of control and worker: what the channel carries, each a type and a map of plain values.

    control ──▶ worker    start · listen · port_closed · routes · routes_frozen · route_index · session
                          session_services · session_weight · session_going_away · session_ended · accepted · carrier · client_moved · client_ended · certificate
                          certificate_removed · certificate_refused · challenge · hub_route · drain · settled
    worker ──▶ control    ready · counters · lanes_wanted · client · client_moved · clients_ended · session_offered · refused · crashed · index_unmapped · draining · certificate_wanted

After `start` comes a `session` and its `session_services` for each that is live, then the whole table as `route_index`, if it is
large, and `routes`; from then on what changes. A worker that does not know a session or client that is named has lost it a moment ago.
"""

from dataclasses import dataclass, field
from typing import Any

from towonel.edge.worker.counters import Counters
from towonel.edge.worker.termination.messages import TerminationMessage
from towonel.wire.session.balance_hints import DEFAULT_WEIGHT


@dataclass(frozen=True, slots=True)
class Start:
    """First message: who the edge is, its limits, and its timers in seconds.

    Its descriptor is of the rows of numbers that workers share.

    Args:
        edge_id: the edge's key.
        certificate_hash: SHA-256 of the certificate that sessions are opened under.
        certificate_pem, key_pem: that certificate, and its key, of lanes inside TLS.
        workers, number: how many there are, for all of which limits are; of this one, from 0.
        sessions, secret: places for sessions in what workers share; 16 random bytes for it.
        proxies: networks whose peers must begin with a PROXY v2 header.
        clients, per_source, per_tenant, source_share: as of `AdmissionLimits`.
        streams: clients at once that control serves although their sessions have lanes.
        streams_per_session: clients at once that a session carries, for the shares of sources.
        handshake_s: from accept until the whole ClientHello is here.
        open_s: for all tries to reach an origin together.
        linger_s: for a refused client to read its alert.
        idle_s: for which a client may send and get nothing; 0 is for ever.
        check_s, report_s: in which the bytes of every client are counted once; between messages with counters.
        orphan_s: for clients to end after control is gone.
        access_log, access_lines: share of clients that get a line in the log, 0 for none; lines a second.
        engine: as of `hop.choice.Engine`.
        certificate_s, certificate_clients: for which a client waits for a certificate; those that may.
    """

    edge_id: bytes
    certificate_hash: bytes
    certificate_pem: str
    key_pem: bytes = field(repr=False)
    workers: int
    number: int
    sessions: int
    secret: bytes
    proxies: list[str]
    clients: int
    per_source: int
    per_tenant: int
    source_share: float
    streams: int
    streams_per_session: int
    handshake_s: float
    open_s: float
    linger_s: float
    idle_s: float
    check_s: float
    report_s: float
    orphan_s: float
    access_log: float = 0.0
    access_lines: int = 0
    engine: str = "auto"
    certificate_s: float = 30.0  # an order takes some seconds
    certificate_clients: int = 1024


@dataclass(frozen=True, slots=True)
class Listen:
    """Descriptor of a socket to accept from: of clients and lanes, of lanes only, or of clients of a TCP service's port."""

    lanes_only: bool = False
    port: int | None = None


@dataclass(frozen=True, slots=True)
class PortClosed:
    """Port of a TCP service that went: accept no more from its socket."""

    port: int


@dataclass(frozen=True, slots=True)
class Routes:
    """Change of the table, as of `wire.routes`."""

    delta: bytes


@dataclass(frozen=True, slots=True)
class RoutesFrozen:
    """Mark between changes: a `RouteIndex` follows that has all before it, and none behind it."""


@dataclass(frozen=True, slots=True)
class RouteIndex:
    """Descriptor of an index of routes, as of `core.route_index`, in a file that is sealed.

    Args:
        is_new: whether it has routes that the worker was not told of, and is the whole table.
    """

    is_new: bool


@dataclass(frozen=True, slots=True)
class SessionAdmitted:
    """Session of an agent: an empty secret is for no lanes, a `slot` of -1 for no place in what workers share."""

    session_id: bytes
    tenant_id: bytes
    secret: bytes
    rtt_s: float
    has_streams: bool = True
    agent_id: bytes = b""
    slot: int = -1
    group: str = ""
    weight: int = DEFAULT_WEIGHT


@dataclass(frozen=True, slots=True)
class SessionServices:
    """Services that are reached on a session as its agent says (`BalanceHints`), or have ended, as far as they fit."""

    session_id: bytes
    services: list[str]
    ended: bool = False
    failing: bool = False
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class SessionWeight:
    """Session whose agent has another weight from now on."""

    session_id: bytes
    weight: int


@dataclass(frozen=True, slots=True)
class SessionGoingAway:
    """Session whose agent, or this edge, takes no more clients."""

    session_id: bytes


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Session that is over; with a code, its clients are cut, too."""

    session_id: bytes
    cut: int | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Descriptors of clients that waited in the queue of a listener when it was closed, of a port or not."""

    port: int | None = None


@dataclass(frozen=True, slots=True)
class CarrierOffered:
    """Descriptor of a connection of the flow worker, for a lane of this session, and the port of its UDP service."""

    session_id: bytes
    port: int


@dataclass(frozen=True, slots=True)
class ClientEnded:
    """Client that control served to its end."""

    token: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Order to accept no more, and to say how many clients there are left."""


@dataclass(frozen=True, slots=True)
class Settled:
    """End of the need for idle lanes in a drain: no worker has a client any more that looks for one."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Answer to `Start`."""


@dataclass(frozen=True, slots=True)
class LanesWanted:
    """Number of lanes that a worker wants of a session, or of its pool as of `tls_pool_id`."""

    pool_id: bytes
    count: int


@dataclass(frozen=True, slots=True)
class ClientHandedOver:
    """Client that control is to serve, with its socket, its public name, and what was read of it.

    Addresses are those that the client and its proxy named, the ports behind. One that gets a line in the
    log has a trace's id, and when it was accepted and had said what it wants, in seconds.
    `lanes_silent` says that lanes of its agent answered nothing.
    """

    token: int
    source: tuple[str, int]
    destination: tuple[str, int]
    name: str
    first: bytes
    trace: tuple[bytes, float, float] | None = None
    lanes_silent: bool = False


@dataclass(frozen=True, slots=True)
class ClientMoved:
    """Client that another worker has an idle lane for, with its socket and what was read of it.

    Fields are those of `ClientHandedOver`; `worker` is the number of the one that has the lane, and `port` that of
    the service that it came to.
    """

    worker: int
    source: tuple[str, int]
    destination: tuple[str, int]
    first: bytes
    port: int | None = None
    trace: tuple[bytes, float] | None = None


@dataclass(frozen=True, slots=True)
class ClientsEnded:
    """Lines for the log, each the values of an `AccessLine`, and how many were left out."""

    lines: list[tuple[Any, ...]]
    dropped: int


@dataclass(frozen=True, slots=True)
class SessionOffered:
    """Connection that begins a session inside TLS over TCP, with its socket and what was read of it."""

    source: tuple[str, int]
    first: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Refusal of clients, for the log: the last of `count` with this code."""

    code: int
    detail: str
    count: int = 1
    peer: tuple[str, int] | None = None
    hostname: str | None = None
    tenant_id: bytes | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class IndexUnmapped:
    """Word of a worker that could not map an index; it keeps what it had, or ends where that is not all."""

    error: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """Exception that is a bug, and has ended one client; for the log."""

    traceback: str


@dataclass(frozen=True, slots=True)
class Draining:
    """State of a drain: no socket is accepted from; clients that are not relayed yet, and in all."""

    arriving: int
    clients: int
    taken: int = 0  # those that control has sent since the start: it sees which are not in this yet


# fmt: off
type Message = (
    Start | Listen | PortClosed | Routes | RoutesFrozen | RouteIndex | SessionAdmitted | SessionServices | SessionWeight | SessionGoingAway
    | SessionEnded | Accepted | CarrierOffered | ClientEnded | Drain | Settled | Ready | Counters | LanesWanted | ClientHandedOver
    | SessionOffered | ClientMoved | ClientsEnded | Refused | Crashed | Draining | IndexUnmapped | TerminationMessage
)
# fmt: on
