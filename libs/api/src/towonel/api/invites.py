"""Bodies about invites."""

from typing import Literal

from pydantic import (
    AwareDatetime,
    Field,
)

from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32, Hostnames, Moment, Name
from towonel.api.limits import Limits
from towonel.api.ports import MAX_RANGES, PortRange

MAX_EXPIRY_S = 30 * 24 * 3600
MAX_SERVING_S = 10 * 366 * 86_400

type InviteStatus = Literal["pending", "revoked"]
type InviteState = Literal["pending", "used", "expired", "ended", "revoked"]


class InviteIn(Request):
    """A tenant to be.

    `expires_in_secs` is how long agents can join with the token; 0 or none means for ever. Agents that
    joined are served until the invite is revoked, or `serves_for_secs` after it was made.
    """

    name: Name | None = None
    hostnames: Hostnames
    expires_in_secs: int | None = Field(default=None, ge=0, le=MAX_EXPIRY_S)
    serves_for_secs: int | None = Field(default=None, ge=1, le=MAX_SERVING_S)
    limits: Limits | None = None


class InviteOut(Answer):
    """A new invite; its token is told this once."""

    status: Literal["ok"] = "ok"
    token: str = Field(repr=False)
    invite_id: str
    tenant_id: Hex32
    name: str
    expires_at_ms: int | None


class InviteItem(Answer):
    """An invite in a list.

    `status` has the original's words; `state` tells apart what nobody used yet, what agents joined with,
    what nobody can join with any more, and what is not served any more. The times in ms are the original's, too.
    """

    invite_id: str
    name: str
    hostnames: list[str]
    status: InviteStatus
    expires_at_ms: int | None
    tenant_id: Hex32
    created_at_ms: int
    state: InviteState | None = None
    created_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    used_at: AwareDatetime | None = None
    serves_until: AwareDatetime | None = None


class InviteList(Page):
    """Invites, the newest first; `next_cursor` asks for the next part."""

    invites: list[InviteItem]


class RevokedOut(Answer):
    """That an invite is revoked."""

    status: Literal["revoked"] = "revoked"


class InviteEdit(Request):
    """Changes of a live invite; fields that are not sent stay as they are.

    `expires_at` is until when agents can join, to come and at most 30 days ahead; `serves_until` until when those
    that joined are served, which ends at once where it is over.
    """

    name: Name | None = Field(default=None, min_length=1)
    hostnames: Hostnames | None = None
    expires_at: Moment | None = Field(default=None, description="null: never")
    serves_until: Moment | None = Field(default=None, description="null: for ever")
    limits: Limits | None = None
    ports: list[PortRange] | None = Field(default=None, max_length=MAX_RANGES)


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
    state: InviteState | None = None
    used_at: AwareDatetime | None = None
    serves_until: AwareDatetime | None = None
    limits: Limits
    ports: list[PortRange]
