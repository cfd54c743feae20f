"""Bodies about services and routes, and the desired state that publishes them."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AwareDatetime,
    Field,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema, core_schema

from towonel.api.agents import AgentItem, Publication
from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Group, Hex32
from towonel.api.ports import LAST_PORT, Port
from towonel.api.traffic import Traffic

MAX_SERVICES = 1_000

Kind = Literal["https", "tcp", "udp"]
AUTO: Final = "auto"
MAX_CIDRS = 64  # of a service, of both kinds together
Cidrs = Annotated[list[Annotated[str, Field(max_length=49)]], Field(max_length=MAX_CIDRS)]


class _PortOrAuto:
    """Field of a port or the word `auto`; an error is of the field, where a union's names each of its types."""

    _NUMBER = core_schema.nullable_schema(core_schema.int_schema(ge=1, le=LAST_PORT))

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        """Return the schema of a port, before which the word is looked for."""
        return core_schema.no_info_wrap_validator_function(
            self._check, self._NUMBER, serialization=core_schema.simple_ser_schema("any")
        )

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema for the document."""
        return {"anyOf": [*handler(self._NUMBER)["anyOf"], {"const": AUTO, "type": "string"}]}

    def _check(self, value: object, check: Callable[[object], object]) -> object:
        if isinstance(value, str) and value != AUTO:
            raise ValueError(f"must be a whole number, or {AUTO}")
        return value if value == AUTO else check(value)


class ServiceIn(Request):
    """One service: `name` is a hostname for https, a service name for tcp and udp.

    With `last_port` a service of tcp or udp has all ports from `port` to that one, at most 512: clients of a port get the
    same port of the origin's host.

    With the port `auto` the hub takes one that is reserved for the tenant: that of the group's service of this name, else
    the lowest that nobody publishes.

    With `http2`, of https and `terminate`, edges offer HTTP/2 to clients besides HTTP/1.1: the origin has to speak both.

    Clients of a network of `deny_cidrs` are not served, nor, where there are `allow_cidrs`, those of none of them: as in
    `192.0.2.0/24` or `2001:db8::1`.
    """

    kind: Kind
    name: str = Field(min_length=1, max_length=253)
    port: Annotated[int | Literal["auto"] | None, _PortOrAuto()] = None
    last_port: Port | None = None
    tls_mode: Literal["passthrough", "terminate", "agent"] = "passthrough"
    http2: bool = False
    allow_cidrs: Cidrs = Field(default_factory=list[str])
    deny_cidrs: Cidrs = Field(default_factory=list[str])


class DesiredState(Request):
    """All that a group of agents publishes, in place of what it published before."""

    group: Group
    services: list[ServiceIn] = Field(max_length=MAX_SERVICES)


type IsServed = Annotated[
    bool,
    Field(
        description="Whether edges listen for this kind of service: they do, unless the hub is older, for udp."
    ),
]


class AppliedState(Answer):
    """Changes made by a desired state, by route key: `https:app.example.eu`, `tcp:2222`, `udp:27015-27030`.

    `not_served` are those of kinds that no edge listens for: of udp, by a hub of an older version. `publication` has
    the digest by which the agent asks whether all of it stands. `ports` are those of all its services of the kinds tcp
    and udp, by the service: `tcp:ssh`; of a range it is the first.
    """

    revision: int
    created: list[str]
    changed: list[str]
    deleted: list[str]
    unchanged: int
    not_served: list[str] = Field(default_factory=list[str])
    publication: Publication | None = None
    ports: dict[str, int] = Field(default_factory=dict[str, int])


class Listener(Answer):
    """A port of a service on one edge that is live; without a code it is listened on.

    `code` is a word, such as `port_in_use`, and `detail` the edge's system's. Of a range, `ports` are those that it is
    about, as in `27016, 27018-27020`, where it is not about all of them.
    """

    edge_id: Hex32
    code: str | None
    detail: str
    ports: str = ""


class ServiceItem(Answer):
    """A service that a group publishes; `key` is its route: `https:app.example.eu`, `tcp:2222`, `udp:27015-27030`.

    A range of ports is from `port` to `last_port`.

    Of `agents_live`, which serve it in any group, `agents_failing` are those whose origin fails its check.
    `traffic` is of its clients in any group, as edges count it since they started.
    """

    key: str
    kind: Kind
    name: str
    port: int | None
    last_port: int | None = None
    tls_mode: str
    tenant_id: Hex32
    group: str
    created_at: AwareDatetime
    agents_live: int
    agents_failing: int = 0
    allow_cidrs: list[str] = Field(default_factory=list[str])
    deny_cidrs: list[str] = Field(default_factory=list[str])
    http2: bool = False
    is_served: IsServed = True
    listeners: list[Listener] = Field(default_factory=list[Listener])
    traffic: Traffic = Field(default_factory=Traffic)


class ServicePage(Page):
    """Services, by key."""

    services: list[ServiceItem]


class ServiceDetail(Answer):
    """One public name or port: its route, every group that publishes it, and who serves it now."""

    key: str
    kind: Kind
    name: str
    port: int | None
    last_port: int | None = None
    tls_mode: str
    tenant_id: Hex32
    groups: list[str]
    agents: list["AgentItem"]
    allow_cidrs: list[str] = Field(default_factory=list[str])
    deny_cidrs: list[str] = Field(default_factory=list[str])
    http2: bool = False
    is_served: IsServed = True
    listeners: list[Listener] = Field(default_factory=list[Listener])
    traffic: Traffic = Field(default_factory=Traffic)


class RouteItem(Answer):
    """A public name or port, and whose it is."""

    key: str
    kind: Kind
    name: str
    port: int | None
    last_port: int | None = None
    tls_mode: str
    tenant_id: Hex32
    revision: int
    allow_cidrs: list[str] = Field(default_factory=list[str])
    deny_cidrs: list[str] = Field(default_factory=list[str])
    http2: bool = False
    is_served: IsServed = True


class RoutePage(Page):
    """Routes, by key, and the revision of the table."""

    revision: int
    routes: list[RouteItem]
