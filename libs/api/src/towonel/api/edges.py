"""Bodies about edges: registration, and as operators and agents see them."""

from typing import Annotated

from pydantic import (
    AwareDatetime,
    Field,
)

from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32, Region, Text
from towonel.api.traffic import EngineName, Traffic


class EdgeOut(Answer):
    """An edge as agents need it: where it is, and the certificate it shows.

    By `name` and `region` an agent chooses among edges; a hub of an older version says nothing of them.
    """

    edge_id: Hex32
    addresses: list[str]
    certificate_sha256: Hex32
    certificate_pem: str
    name: str | None = None
    region: str | None = None


class EdgeRegisterIn(Request):
    """Registration of an edge: the addresses for agents, and the certificate that it shows them."""

    addresses: list[Annotated[str, Field(max_length=300)]] = Field(min_length=1, max_length=16)
    certificate_pem: str = Field(max_length=8_192)
    version: Text = Field(max_length=64)
    region: Region | None = None


class EdgeRegisterOut(Answer):
    """Whom the edge takes grants from, and the routes' revision."""

    hub_node_id: Hex32
    revision: int


class EdgeItem(Answer):
    """An edge that has registered; `sessions`, `traffic`, `engine` and what is said of workers are those of one that is live.

    `worker_restarts` are processes that ended, and took their clients along; `workers_unstable` is how many workers
    have ended three times within five minutes. `engine` carries the bytes of clients. `clock_skew_ms` is how far its
    clock is ahead of the hub's, to within two seconds.
    """

    node_id: Hex32
    name: str
    addresses: list[str]
    certificate_sha256: Hex32
    version: str
    last_seen_ms: int
    last_seen_at: AwareDatetime
    is_live: bool
    sessions: int
    traffic: Traffic
    worker_restarts: int = 0
    workers_unstable: int = 0
    engine: EngineName | None = None
    clock_skew_ms: int | None = None
    region: str | None = None


class EdgeList(Page):
    """Registered edges, by id; `next_cursor` asks for the next part."""

    edges: list[EdgeItem]
