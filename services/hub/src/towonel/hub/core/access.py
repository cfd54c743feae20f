"""Authorization rules: roles, API keys of one tenant, and when an API key is valid."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from towonel.identity.keys import secrets_equal
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.tokens import API_KEY_PREFIX

KEY_ID_BYTES = 8
KEY_SECRET_BYTES = 32
_OLD_KEY_NAME = re.compile(r"key:(?P<id>[0-9a-f]{16})", re.ASCII)


class Role(IntEnum):
    """Role of a caller; each includes the permissions of those below it."""

    VIEWER = 1  # read
    OPERATOR = 2  # and change what is published
    ADMIN = 3  # and make API keys


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller; `tenant_id` is set for an API key that is limited to one tenant."""

    name: str
    role: Role
    tenant_id: TenantId | None = None

    def require(self, role: Role) -> None:
        """Check that the caller has at least this role.

        Raises:
            Denied: FORBIDDEN.
        """
        if self.role < role:
            raise Denied(
                Code.FORBIDDEN,
                f"this needs the role {role.name.lower()}; the key has {self.role.name.lower()}",
            )

    def require_all_tenants(self) -> None:
        """Check that the caller is not limited to one tenant.

        Raises:
            Denied: FORBIDDEN.
        """
        if self.tenant_id is not None:
            raise Denied(Code.FORBIDDEN, "this key is for one tenant only")

    def scope(self, tenant_id: TenantId | None) -> TenantId | None:
        """Return the tenant to which a list is limited: the requested one, or the key's.

        Returns:
            The tenant, or None for all tenants.

        Raises:
            Denied: FORBIDDEN for another tenant than the key's.
        """
        if self.tenant_id is not None and tenant_id not in {None, self.tenant_id}:
            raise Denied(Code.FORBIDDEN, "this key is for another tenant")
        return self.tenant_id or tenant_id

    @property
    def may_read_audit(self) -> bool:
        """Whether this caller may see actors, addresses and events about API keys."""
        return self.role >= Role.OPERATOR and self.tenant_id is None

    def may_see(self, tenant_id: bytes) -> bool:
        """Whether the caller may know of a tenant."""
        return self.tenant_id is None or self.tenant_id == tenant_id


@dataclass(frozen=True, slots=True)
class ApiKey:
    """API key as text: `tt_key_1_<id, base64url>.<secret, base64url>`."""

    key_id: bytes
    secret: bytes

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """Parse a key.

        Raises:
            Denied: UNAUTHORIZED if it is malformed.
        """
        key_id, _, secret = text.removeprefix(API_KEY_PREFIX).partition(".")
        try:
            parts = cls(base64url.decode(key_id), base64url.decode(secret))
        except ProtocolError:
            raise Denied(Code.UNAUTHORIZED, "the API key is malformed") from None
        if (len(parts.key_id), len(parts.secret)) != (KEY_ID_BYTES, KEY_SECRET_BYTES):
            raise Denied(Code.UNAUTHORIZED, "the API key is malformed")
        return parts

    def encode(self) -> str:
        """Return the key as text."""
        return f"{API_KEY_PREFIX}{base64url.encode(self.key_id)}.{base64url.encode(self.secret)}"


def key_name(key_id: bytes) -> str:
    """Return the name of an API key as an actor or a subject of the audit log, with its id as the API has it."""
    return f"key:{base64url.encode(key_id)}"


def old_key_name(name: str) -> str:
    """Return how earlier hubs wrote an actor: an API key with its id in hexadecimal."""
    try:
        key_id = base64url.decode(name.removeprefix("key:"))
    except ProtocolError:
        return name
    is_key = name.startswith("key:") and len(key_id) == KEY_ID_BYTES
    return f"key:{key_id.hex()}" if is_key else name


def current_name(name: str) -> str:
    """Return the actor that an earlier hub wrote as it is written now."""
    found = _OLD_KEY_NAME.fullmatch(name)
    return key_name(bytes.fromhex(found["id"])) if found else name


type KeyStatus = Literal["active", "expired", "revoked"]


def key_status(*, revoked: bool, expires_at_ms: int | None, now_ms: int) -> KeyStatus:
    """Return the status of an API key; `expires_at_ms` is None for one that never expires."""
    if revoked:
        return "revoked"
    is_expired = expires_at_ms is not None and now_ms >= expires_at_ms
    return "expired" if is_expired else "active"


def secret_matches(
    presented_hash: bytes,
    now_ms: int,
    *,
    secret_hash: bytes,
    old_secret_hash: bytes | None,
    old_until_ms: int | None,
) -> bool:
    """Tell whether the hash of a secret is the current or, until its end, the previous one.

    Every wrong secret takes the same time.
    """
    is_current = secrets_equal(presented_hash, secret_hash)
    is_old = secrets_equal(presented_hash, old_secret_hash or bytes(32))
    old_is_valid = old_secret_hash is not None and now_ms < (old_until_ms or 0)
    return is_current or (is_old and old_is_valid)
