"""Who may ask the hub, and who did what: API keys and the audit log, in the style of `resources`."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from towonel.client.models import Answer, Hex32, Moment, Name, Page, Request

type Role = Literal["admin", "operator", "viewer"]


class KeyIn(Request):
    """An API key to be."""

    name: Name = Field(min_length=1)
    role: Role
    tenant_id: Hex32 | None = None
    expires_in_secs: int | None = Field(default=None, ge=60, le=10 * 366 * 86_400)


class KeyEdit(Request):
    """What changes about a key; fields that are not sent stay as they are."""

    name: Name | None = Field(default=None, min_length=1)
    expires_at: Moment | None = Field(default=None, description="null: never")


class KeyRotation(Request):
    """For how long the secret before this one still works."""

    grace_secs: int = Field(default=3600, ge=0, le=30 * 86_400)


class KeyItem(Answer):
    """An API key, without its secret."""

    key_id: str
    name: str
    role: Role
    tenant_id: Hex32 | None
    status: Literal["active", "expired", "revoked"]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    rotated_at: AwareDatetime | None


class KeyOut(KeyItem):
    """A new or rotated key; its secret is told this once."""

    key: str = Field(repr=False)


class KeyPage(Page):
    """API keys, the newest first."""

    keys: list[KeyItem]


class WhoAmI(Answer):
    """Whom the hub takes the caller for."""

    actor: str
    role: Role
    tenant_id: Hex32 | None


class AuditItem(Answer):
    """One write: who did what to what, from where; secrets are never in it."""

    id: int
    at: AwareDatetime
    actor: str
    action: str
    subject: str
    tenant_id: Hex32 | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str
    address: str


class AuditPage(Page):
    """Writes, the newest first."""

    audit: list[AuditItem]
