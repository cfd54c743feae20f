"""Messages of control and the flow worker, over `towonel.relay.channel`.

    control ──▶ worker    start · limits_memory · sealed_socket · tenant_limits · port_opened · port_closed · route · route_ended · session · session_services
                          session_weight · session_secret · session_going_away · session_ended
    worker ──▶ control    ready · carrier · counters · refused · crashed

After `start` comes all that there is, then what changes. What is named and not known has ended a moment ago.
"""

from dataclasses import dataclass, field
from typing import Final

from towonel.edge.worker.counters import Count, ServiceRow
from towonel.edge.worker.messages import (
    CarrierOffered,
    Crashed,
    PortClosed,
    Ready,
    SessionGoingAway,
    SessionWeight,
)
from towonel.relay.message_codec import MessageCodec


@dataclass(frozen=True, slots=True)
class Start:
    """First message.

    Args:
        flows: at once.
        per_source: flows of one source.
        per_tenant: flows of one tenant.
        report_s: between messages with counters.
    """

    flows: int
    per_source: int
    per_tenant: int
    report_s: float


@dataclass(frozen=True, slots=True)
class LimitsMemory:
    """Descriptor of the memory in which an edge's processes share their use of limits.

    Args:
        rows: one for each process, the last of which is this one's.
        columns: of a row, the last of which are about limits.
        secret: of `SharedLimits`.
    """

    rows: int
    columns: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TenantLimited:
    """Limits of a tenant from now on, as of `TenantLimits`; without any it has none."""

    tenant_id: bytes
    connections: int | None = None
    connection_rate: int | None = None
    bandwidth: int | None = None


@dataclass(frozen=True, slots=True)
class SealedSocket:
    """Descriptor of the socket for sealed packets of agents."""


@dataclass(frozen=True, slots=True)
class PortOpened:
    """Descriptor of the socket of a port, on which clients of its route send."""

    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """Route of a port, new or changed; `clients` are networks as of `ClientNetworks.encode`, or nothing."""

    port: int
    name: str
    tenant_id: bytes
    clients: str = ""


@dataclass(frozen=True, slots=True)
class RouteEnded:
    """Port without a route from now on, or whose tenant is blocked."""

    port: int


@dataclass(frozen=True, slots=True)
class SessionAdmitted:
    """Session of an agent; `weight` is its group's."""

    session_id: bytes
    tenant_id: bytes
    agent_id: bytes
    group: str
    weight: int


@dataclass(frozen=True, slots=True)
class SessionServices:
    """UDP services that are reached on a session as its agent says (`BalanceHints`), or have ended there."""

    session_id: bytes
    names: tuple[str, ...]
    ended: bool = False
    failing: bool = False
    sticky: bool = False


@dataclass(frozen=True, slots=True)
class SessionSecret:
    """Secret of a session's sealed packets, which its agent gets as well."""

    session_id: bytes
    index: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Session that is over, with its flows."""

    session_id: bytes


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters since the message before, and what there is now.

    Args:
        active: flows now.
        opened: flows that began.
        ended, refused: flows, by code.
        dropped: datagrams and packets, by reason.
        datagrams_in, datagrams_out, bytes_in, bytes_out: from clients, and to them.
        paths: sessions by the state of their path.
        services: the tenant's id, key, flows that began, flows that ended, bytes in, bytes out.
    """

    active: int = 0
    opened: int = 0
    ended: tuple[Count, ...] = ()
    refused: tuple[Count, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()
    datagrams_in: int = 0
    datagrams_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    paths: tuple[tuple[str, int], ...] = ()
    services: tuple[ServiceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Clients that got no flow, for the log: the last of `count` with this code."""

    code: int
    detail: str
    count: int
    peer: tuple[str, int]
    tenant_id: bytes | None = None
    service: str | None = None


# fmt: off
type Message = (
    Start | LimitsMemory | SealedSocket | TenantLimited | PortOpened | PortClosed | Route | RouteEnded | SessionAdmitted
    | SessionServices | SessionWeight | SessionSecret | SessionGoingAway | SessionEnded | Ready | CarrierOffered | Counters | Refused | Crashed
)
# fmt: on
_TYPES: Final[dict[str, type[Message]]] = {
    "start": Start,
    "limits_memory": LimitsMemory,
    "sealed_socket": SealedSocket,
    "tenant_limits": TenantLimited,
    "port_opened": PortOpened,
    "port_closed": PortClosed,
    "route": Route,
    "route_ended": RouteEnded,
    "session": SessionAdmitted,
    "session_services": SessionServices,
    "session_weight": SessionWeight,
    "session_secret": SessionSecret,
    "session_going_away": SessionGoingAway,
    "session_ended": SessionEnded,
    "ready": Ready,
    "carrier": CarrierOffered,
    "counters": Counters,
    "refused": Refused,
    "crashed": Crashed,
}
CODEC: Final = MessageCodec[Message](_TYPES)
