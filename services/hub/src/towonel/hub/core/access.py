"""Who may do what: roles, tenants' own keys, and whether a key still counts."""

from dataclasses import dataclass
from enum import IntEnum

from towonel.identity.keys import secrets_equal
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.tokens import API_KEY_PREFIX

KEY_ID_BYTES = 8
KEY_SECRET_BYTES = 32


class Role(IntEnum):
    """What a caller may do; each may do all that those below it may."""

    VIEWER = 1  # read
    OPERATOR = 2  # and change what is published
    ADMIN = 3  # and make API keys


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `tenant_id` is set for a key that sees one tenant only."""

    name: str
    role: Role
    tenant_id: TenantId | None = None

    def require(self, role: Role) -> None:
        """Check that the caller may do what a role may.

        Raises:
            Denied: FORBIDDEN.
        """
        if self.role < role:
            raise Denied(
                Code.FORBIDDEN,
                f"this needs the role {role.name.lower()}; the key has {self.role.name.lower()}",
            )

    def require_all_tenants(self) -> None:
        """Check that the caller is not bound to one tenant.

        Raises:
            Denied: FORBIDDEN.
        """
        if self.tenant_id is not None:
            raise Denied(Code.FORBIDDEN, "this key is for one tenant only")

    def scope(self, asked: TenantId | None) -> TenantId | None:
        """Return the only tenant that a list is of: the one asked for, or the key's; none for all.

        Raises:
            Denied: FORBIDDEN for another one than the key's.
        """
        if self.tenant_id is not None and asked not in {None, self.tenant_id}:
            raise Denied(Code.FORBIDDEN, "this key is for another tenant")
        return self.tenant_id or asked

    @property
    def reads_audit(self) -> bool:
        """Whether who did what, and what was done to keys, is told to this caller."""
        return self.role >= Role.OPERATOR and self.tenant_id is None

    def may_see(self, tenant_id: bytes) -> bool:
        """Whether a tenant exists for this caller."""
        return self.tenant_id is None or self.tenant_id == tenant_id


@dataclass(frozen=True, slots=True)
class Presented:
    """The parts of an API key: `tt_key_1_<id, base64url>.<secret, base64url>`."""

    key_id: bytes
    secret: bytes

    @classmethod
    def parse(cls, text: str) -> "Presented":
        """Read a key.

        Raises:
            Denied: UNAUTHORIZED where it has another form.
        """
        key_id, _, secret = text.removeprefix(API_KEY_PREFIX).partition(".")
        try:
            parts = cls(base64url.decode(key_id), base64url.decode(secret))
        except ProtocolError:
            raise Denied(Code.UNAUTHORIZED, "the API key is not one") from None
        if (len(parts.key_id), len(parts.secret)) != (KEY_ID_BYTES, KEY_SECRET_BYTES):
            raise Denied(Code.UNAUTHORIZED, "the API key is not one")
        return parts

    def encode(self) -> str:
        """Return the key as its owner keeps it."""
        return f"{API_KEY_PREFIX}{base64url.encode(self.key_id)}.{base64url.encode(self.secret)}"


@dataclass(frozen=True, slots=True)
class KeyState:
    """What decides whether an API key counts.

    Args:
        secret_hash: of its secret.
        old_secret_hash: of the one before, which counts until `old_until_ms`.
        old_until_ms: the end of that.
        expires_at_ms: the end of the key; none for never.
        revoked: whether it was revoked.
    """

    secret_hash: bytes
    old_secret_hash: bytes | None
    old_until_ms: int | None
    expires_at_ms: int | None
    revoked: bool

    def matches(self, presented_hash: bytes, now_ms: int) -> bool:
        """Whether a secret with this hash opens it now; takes the same time for every wrong one."""
        is_current = secrets_equal(presented_hash, self.secret_hash)
        is_old = secrets_equal(presented_hash, self.old_secret_hash or bytes(32))
        old_counts = self.old_secret_hash is not None and now_ms < (self.old_until_ms or 0)
        return self.counts(now_ms) and (is_current or (is_old and old_counts))

    def counts(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor over."""
        is_over = self.expires_at_ms is not None and now_ms >= self.expires_at_ms
        return not (self.revoked or is_over)
