"""Bodies about agents: bootstrap, refresh, and as operators see them."""

from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    Field,
)

from towonel.api.bodies import Answer, Page, Request
from towonel.api.edges import EdgeOut
from towonel.api.fields import Base64, Group, Hex32
from towonel.api.traffic import Way, WayReason

MAX_FAILING_LISTENERS = 100  # in one answer
MAX_MISMATCHES = 100  # in one request

type ServiceName = Annotated[str, Field(max_length=260, pattern="^[!-~]+$")]


class BootstrapIn(Request):
    """The proof of an invite; without `agent_id` it is the original's form, and gets no grant."""

    invite_id: Base64
    invite_secret: Base64 = Field(repr=False)
    agent_id: Hex32 | None = None
    group: Group = "default"


class BootstrapOut(Answer):
    """Bootstrap data of an agent: the original's fields, then the grant and the edges to dial."""

    status: Literal["ok"] = "ok"
    tenant_id: Hex32
    hostnames: list[str]
    hub_node_id: Hex32
    trusted_edges: list[Hex32]
    edge_node_id: Hex32 | None
    edge_addresses: list[str]
    grant: str | None = Field(default=None, repr=False)
    grant_expires_at_ms: int | None = None
    edges: list[EdgeOut] = Field(default_factory=list[EdgeOut])


class Publication(Answer):
    """Newest desired state of a group: who published it, and what stands of it.

    `number` grows with each that differs from the one before, and is 0 for a group that has published
    nothing yet. `services` are the route keys that the group publishes now; null where they are all that an
    agent with the `digest` of its request publishes.
    """

    number: int
    digest: Hex32 | None = None
    agent_id: Hex32 | None = None
    services: list[str] | None = None


class RefreshIn(Request):
    """The grant an agent has.

    `certificate_mismatches` are services whose clients see another certificate than the origin's, as the agent finds:
    `https:app.example.eu`.
    """

    grant: Base64 = Field(repr=False)
    certificate_mismatches: list[ServiceName] = Field(
        default_factory=list[str], max_length=MAX_MISMATCHES
    )


class ServiceListener(Answer):
    """A port that an edge does not listen on, by its route: `tcp:2222`; `code` is a word that says why.

    Of a range, `ports` are those that it is about, where it is not about all of them.
    """

    key: str
    edge_id: Hex32
    code: str
    detail: str
    ports: str = ""


class RefreshOut(Answer):
    """The grant to use from now on, the edges there are now, and what the agent's group publishes.

    `listeners` are the first of its ports that an edge does not listen on.
    """

    grant: str = Field(repr=False)
    grant_expires_at_ms: int
    edges: list[EdgeOut]
    publication: Publication | None = None
    listeners: list[ServiceListener] = Field(default_factory=list[ServiceListener])


class LeaveIn(Request):
    """The grant of an agent that ends: its place in the quota of agents is free from now on."""

    grant: Base64 = Field(repr=False)


class LeaveOut(Answer):
    """That the place is free. The agent is known again once it bootstraps."""

    status: Literal["ok"] = "ok"


class AgentSession(Answer):
    """Session of an agent at one edge: the way its clients come, and why that is no lane."""

    edge_id: Hex32
    way: Way | None
    way_reason: WayReason | None
    connections_active: int
    lanes_idle: int
    lanes_in_use: int
    lanes_wanted: int


class AgentItem(Answer):
    """An agent: known since its bootstrap, live while an edge has its session.

    It `is_displaced` while another agent of its group published other services after it did, and
    `is_by_tcp` while a session of it goes over TCP, because UDP between it and the edge gets no answer.
    `weight` is its group's share beside other groups, 0 for a standby; null while it is not live, and of edges of an
    older version. `services_failing` are those whose origins fail its checks: `https:app.example.eu`, `tcp:ssh`.
    `clock_skew_ms` is how far its clock was ahead of the hub's when it asked last, the way there included.
    `certificate_mismatches` are services whose clients see another certificate than the origin's: somebody else ends
    their TLS (TOWONEL_AGENT_VERIFY_PUBLIC).
    """

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
    is_displaced: bool = False
    is_by_tcp: bool = False
    weight: int | None = None
    services_failing: list[str] = Field(default_factory=list[str])
    sessions: list[AgentSession] = Field(default_factory=list[AgentSession])
    clock_skew_ms: int | None = None
    certificate_mismatches: list[str] = Field(default_factory=list[str])


class AgentPage(Page):
    """Agents, the newest first."""

    agents: list[AgentItem]
