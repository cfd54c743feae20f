"""What the newer part of the hub's REST API takes and gives: resources in one style.

Lists come in pages, `{"<resources>": [...], "next_cursor": ...}`; times are RFC 3339 in UTC; edits
send only the fields that change. API keys and the audit log are in `access`.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from towonel.client.models import Answer, Hex32, Hostnames, Moment, Name, Page, Request

MAX_PAGE = 1_000
MAX_RANGES = 100  # port ranges of one tenant
MAX_LIMIT = 1_000_000
LAST_PORT = 65_535

type Protocol = Literal["tcp", "udp"]
type Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
type Limit = Annotated[int, Field(ge=0, le=MAX_LIMIT)]
type TenantStatus = Literal["active", "suspended", "revoked"]


class Limits(Request):
    """How much a tenant may have; null is the hub's default."""

    services: Limit | None = None
    agents: Limit | None = None
    ports: Limit | None = None
    hostnames: Limit | None = None


class PortRange(Request):
    """Ports of one protocol, both ends included; a single port is its own first and last."""

    protocol: Protocol
    first_port: Port
    last_port: Port

    @model_validator(mode="after")
    def _ordered(self) -> "PortRange":
        if self.first_port > self.last_port:
            raise ValueError("first_port must not be above last_port")
        return self


class InviteEdit(Request):
    """What changes about a live invite; fields that are not sent stay as they are."""

    name: Name | None = Field(default=None, min_length=1)
    hostnames: Hostnames | None = None
    expires_at: Moment | None = Field(default=None, description="null: never")
    limits: Limits | None = None
    ports: list[PortRange] | None = Field(default=None, max_length=MAX_RANGES)


class TenantEdit(Request):
    """What changes about a tenant; fields that are not sent stay as they are."""

    name: Name | None = Field(default=None, min_length=1)
    limits: Limits | None = None


class HostnamesIn(Request):
    """Hostnames to add to an invite."""

    hostnames: Hostnames


class HostnamesOut(Answer):
    """The hostnames an invite has now."""

    invite_id: str
    remaining_hostnames: list[str]


class InviteDetail(Answer):
    """One invite, whole: the original's fields, then what it may have."""

    invite_id: str
    name: str
    hostnames: list[str]
    status: Literal["pending", "revoked"]
    expires_at_ms: int | None
    tenant_id: Hex32
    created_at_ms: int
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    suspended_at: AwareDatetime | None
    limits: Limits
    ports: list[PortRange]


class Traffic(Answer):
    """What edges have told, since their start; bytes as clients see them."""

    connections_active: int = 0
    connections_total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class TenantItem(Answer):
    """One tenant."""

    tenant_id: Hex32
    invite_id: str
    name: str
    status: TenantStatus
    hostnames: list[str]
    limits: Limits
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    suspended_at: AwareDatetime | None
    agents_live: int
    traffic: Traffic


class TenantPage(Page):
    """Tenants, the newest first."""

    tenants: list[TenantItem]


class TenantDetail(TenantItem):
    """One tenant, with what it uses of its limits and where it is live."""

    services: int
    ports: list[PortRange]
    agents: list["AgentItem"]


class RemovedOut(Answer):
    """That a tenant is removed."""

    status: Literal["removed"] = "removed"
    tenant_id: Hex32


class ServiceItem(Answer):
    """A service that a group publishes; `key` is its route: `https:app.example.eu`, `tcp:2222`."""

    key: str
    kind: Literal["https", "tcp", "udp"]
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    group: str
    created_at: AwareDatetime
    agents_live: int


class ServicePage(Page):
    """Services, by key."""

    services: list[ServiceItem]


class ServiceDetail(Answer):
    """One public name or port: its route, every group that publishes it, and who serves it now."""

    key: str
    kind: Literal["https", "tcp", "udp"]
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    groups: list[str]
    agents: list["AgentItem"]


class RouteItem(Answer):
    """A public name or port, and whose it is."""

    key: str
    kind: Literal["https", "tcp", "udp"]
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    revision: int


class RoutePage(Page):
    """Routes, by key, and the revision of the table."""

    revision: int
    routes: list[RouteItem]


class AgentItem(Answer):
    """An agent: known since its bootstrap, live while an edge has its session."""

    agent_id: Hex32
    tenant_id: Hex32
    group: str
    is_live: bool
    first_seen_at: AwareDatetime
    last_seen_at: AwareDatetime
    live_since: AwareDatetime | None
    edges: list[Hex32]
    software: str | None
    connections_active: int


class AgentPage(Page):
    """Agents, the newest first."""

    agents: list[AgentItem]


class ReservationIn(Request):
    """Ports to keep for a tenant; without `last_port` a single one, without ports a free one."""

    tenant_id: Hex32
    protocol: Protocol
    first_port: Port | None = None
    last_port: Port | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "ReservationIn":
        if self.last_port is not None and (self.first_port or LAST_PORT + 1) > self.last_port:
            raise ValueError("last_port needs a first_port that is not above it")
        return self


class Reservation(Answer):
    """Ports that only one tenant may publish."""

    reservation_id: str
    tenant_id: Hex32
    protocol: Protocol
    first_port: int
    last_port: int
    created_at: AwareDatetime


class ReservationPage(Page):
    """Reservations, by protocol and port."""

    ports: list[Reservation]


class AvailablePorts(Answer):
    """Ports that nobody has or keeps, lowest first."""

    protocol: Protocol
    ports: list[int]


class ReleasedOut(Answer):
    """That a reservation is gone; services on its ports stay."""

    status: Literal["released"] = "released"
    reservation_id: str


TenantDetail.model_rebuild()
ServiceDetail.model_rebuild()
