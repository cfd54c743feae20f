"""What the hub's REST API takes and gives, as the hub and every client of it see it.

Ids and keys are lower-case hexadecimal where the original has them so, base64url without padding
elsewhere; times are Unix milliseconds. Requests refuse fields they do not know; answers may grow.
"""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

HEX_32 = r"^[0-9a-f]{64}$"
MAX_EXPIRY_S = 30 * 24 * 3600
MAX_HOSTNAMES = 1_000
MAX_SERVICES = 1_000
FIRST_YEAR, LAST_YEAR = 1970, 9998  # in any zone a year that `datetime` has

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", re.ASCII)  # pydantic reads the rest
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

# The rules of names are told in the document; `wire.names` checks them, and says which one is broken.
type Hostname = Annotated[
    str,
    Field(json_schema_extra={"pattern": rf"^(\*|{_LABEL})(\.{_LABEL})+$", "maxLength": 253}),
]
Hostnames = Annotated[list[Hostname], Field(min_length=1, max_length=MAX_HOSTNAMES)]
type Group = Annotated[
    str, Field(min_length=1, max_length=63, json_schema_extra={"pattern": "^[a-z0-9-]{1,63}$"})
]
type Hex32 = Annotated[str, Field(pattern=HEX_32)]
type Base64 = Annotated[str, Field(max_length=1_500, pattern=r"^[A-Za-z0-9_-]*$")]


def _as_text(value: object) -> object:
    if not isinstance(value, datetime) and not _MOMENT.match(str(value)):
        raise ValueError("must be RFC 3339, as in 2026-11-24T12:00:00Z")
    return value


def _in_our_time(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"must be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


# A number could be seconds or milliseconds, so it is no moment.
Moment = Annotated[
    AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_our_time), Field(strict=False)
]
# Not everything that keeps names can keep a NUL, and nobody can read the other control characters.
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Name = Annotated[Text, Field(max_length=100)]
type InviteStatus = Literal["pending", "revoked"]


class Request(BaseModel):
    """A body that a client sends; a number is a number, and no text that looks like one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(BaseModel):
    """A body that the hub sends."""

    model_config = ConfigDict(frozen=True)


class Page(Answer):
    """Part of a list; `next_cursor` asks for the next part, and is null at the end."""

    next_cursor: str | None = None


class HealthOut(Answer):
    """That the hub is there, and who it is."""

    status: Literal["ok"] = "ok"
    node_id: Hex32
    version: str
    protocol_version: int = 1


class InviteIn(Request):
    """A tenant to be: `expires_in_secs` of 0 or none means never."""

    name: Name | None = None
    hostnames: Hostnames
    expires_in_secs: int | None = Field(default=None, ge=0, le=MAX_EXPIRY_S)


class InviteOut(Answer):
    """A new invite; its token is told this once."""

    status: Literal["ok"] = "ok"
    token: str = Field(repr=False)
    invite_id: str
    tenant_id: Hex32
    name: str
    expires_at_ms: int | None


class InviteItem(Answer):
    """An invite in a list."""

    invite_id: str
    name: str
    hostnames: list[str]
    status: InviteStatus
    expires_at_ms: int | None
    tenant_id: Hex32
    created_at_ms: int


class InviteList(Page):
    """Invites, the newest first; `next_cursor` asks for the next part."""

    invites: list[InviteItem]


class RevokedOut(Answer):
    """That an invite is revoked."""

    status: Literal["revoked"] = "revoked"


class EdgeInviteIn(Request):
    """An edge to be."""

    name: Name | None = None


class EdgeInviteOut(Answer):
    """A new edge invite; its token is told this once."""

    status: Literal["ok"] = "ok"
    token: str = Field(repr=False)
    invite_id: str
    name: str
    edge_node_id: Hex32


class EdgeInviteItem(Answer):
    """An edge invite in a list."""

    invite_id: str
    name: str
    status: InviteStatus
    edge_node_id: Hex32
    created_at_ms: int


class EdgeInviteList(Page):
    """Edge invites, the newest first; `next_cursor` asks for the next part."""

    invites: list[EdgeInviteItem]


class EdgeOut(Answer):
    """An edge as agents need it: where it is, and the certificate it shows."""

    edge_id: Hex32
    addresses: list[str]
    certificate_sha256: Hex32
    certificate_pem: str


class BootstrapIn(Request):
    """The proof of an invite; without `agent_id` it is the original's form, and gets no grant."""

    invite_id: Base64
    invite_secret: Base64 = Field(repr=False)
    agent_id: Hex32 | None = None
    group: Group = "default"


class BootstrapOut(Answer):
    """What an agent needs: the original's fields, then the grant and the edges to dial."""

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


class RefreshIn(Request):
    """The grant an agent has."""

    grant: Base64 = Field(repr=False)


class RefreshOut(Answer):
    """The grant to use from now on, and the edges there are now."""

    grant: str = Field(repr=False)
    grant_expires_at_ms: int
    edges: list[EdgeOut]


class HeartbeatOut(Answer):
    """That the hub heard an agent of the original's, and in how many seconds to call again."""

    status: Literal["ok"] = "ok"
    next_interval_secs: int = 20


class ServiceIn(Request):
    """One service: `name` is a hostname for https, a service name for tcp and udp."""

    kind: Literal["https", "tcp", "udp"]
    name: str = Field(min_length=1, max_length=253)
    port: int | None = Field(default=None, ge=1, le=65_535)
    tls_mode: Literal["passthrough", "terminate", "agent"] = "passthrough"


class DesiredState(Request):
    """All that a group of agents publishes, in place of what it published before."""

    group: Group
    services: list[ServiceIn] = Field(max_length=MAX_SERVICES)


class AppliedState(Answer):
    """What a desired state changed, by route key: `https:app.example.eu`, `tcp:2222`."""

    revision: int
    created: list[str]
    changed: list[str]
    deleted: list[str]
    unchanged: int


class EdgeRegisterIn(Request):
    """Where an edge is reached by agents, and the certificate it shows them."""

    addresses: list[Annotated[str, Field(max_length=300)]] = Field(min_length=1, max_length=16)
    certificate_pem: str = Field(max_length=8_192)
    version: Text = Field(max_length=64)


class EdgeRegisterOut(Answer):
    """Whom the edge takes grants from, and the routes' revision."""

    hub_node_id: Hex32
    revision: int


class ErrorBody(Answer):
    """The word of a code, a sentence for people, and where the request is traced, its trace."""

    code: str
    message: str
    trace_id: str | None = None


class ErrorOut(Answer):
    """The body of every answer that is an error."""

    error: ErrorBody
