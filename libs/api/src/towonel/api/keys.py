"""Bodies about API keys."""

from typing import Literal

from pydantic import AwareDatetime, Field

from towonel.api.bodies import Answer, Page, Request
from towonel.api.fields import Hex32, Moment, Name

MIN_EXPIRY_S, MAX_EXPIRY_S = 60, 10 * 366 * 86_400

type Role = Literal["admin", "operator", "viewer"]


class KeyIn(Request):
    """An API key to be."""

    name: Name = Field(min_length=1)
    role: Role
    tenant_id: Hex32 | None = None
    expires_in_secs: int | None = Field(default=None, ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S)


class KeyEdit(Request):
    """Changes of a key; fields that are not sent stay as they are."""

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
