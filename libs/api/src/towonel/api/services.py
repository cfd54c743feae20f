"""Bodies about services and routes, and the desired state that publishes them."""

from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    Field,
)

from towonel.api.agents import AgentItem, Publication
from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Group, Hex32
from towonel.api.ports import LAST_PORT

MAX_SERVICES = 1_000

Kind = Literal["https", "tcp", "udp"]


class ServiceIn(Request):
    """One service: `name` is a hostname for https, a service name for tcp and udp."""

    kind: Kind
    name: str = Field(min_length=1, max_length=253)
    port: int | None = Field(default=None, ge=1, le=LAST_PORT)
    tls_mode: Literal["passthrough", "terminate", "agent"] = "passthrough"


class DesiredState(Request):
    """All that a group of agents publishes, in place of what it published before."""

    group: Group
    services: list[ServiceIn] = Field(max_length=MAX_SERVICES)


SERVED_KINDS = frozenset({"https"})  # edges listen for no others yet: their ports are kept
type IsServed = Annotated[bool, Field(description="Whether edges listen for this kind of service.")]


class AppliedState(Answer):
    """Changes made by a desired state, by route key: `https:app.example.eu`, `tcp:2222`.

    `not_served` are those that keep their name and port, and that no edge listens for yet. `publication` has
    the digest by which the agent asks whether all of it stands.
    """

    revision: int
    created: list[str]
    changed: list[str]
    deleted: list[str]
    unchanged: int
    not_served: list[str] = Field(default_factory=list[str])
    publication: Publication | None = None


class ServiceItem(Answer):
    """A service that a group publishes; `key` is its route: `https:app.example.eu`, `tcp:2222`."""

    key: str
    kind: Kind
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    group: str
    created_at: AwareDatetime
    agents_live: int
    is_served: IsServed = True


class ServicePage(Page):
    """Services, by key."""

    services: list[ServiceItem]


class ServiceDetail(Answer):
    """One public name or port: its route, every group that publishes it, and who serves it now."""

    key: str
    kind: Kind
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    groups: list[str]
    agents: list["AgentItem"]
    is_served: IsServed = True


class RouteItem(Answer):
    """A public name or port, and whose it is."""

    key: str
    kind: Kind
    name: str
    port: int | None
    tls_mode: str
    tenant_id: Hex32
    revision: int
    is_served: IsServed = True


class RoutePage(Page):
    """Routes, by key, and the revision of the table."""

    revision: int
    routes: list[RouteItem]
