"""Signing keys: Ed25519 for hubs, edges and agents, ML-DSA-65 for tenants.

A node's id is its public key; a tenant's is the SHA-256 of its public key, which is 1952 bytes.

Source: RFC 8032 (Ed25519), FIPS 204 (ML-DSA-65, empty context).
"""

import hashlib
import hmac
from typing import Self, override

import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

SEED_BYTES = 32
BLANK = "holds only zeros, as after a crash of the disk; restore it, or delete it, and a new key is made"
NODE_SIGNATURE_BYTES = 64
TENANT_PUBLIC_KEY_BYTES = 1952
TENANT_SIGNATURE_BYTES = 3309


def is_blank(seed: bytes) -> bool:
    """Whether a seed has no bit set: it was never a key, and everybody would guess it."""
    return not any(seed)


def describe_bad_seed(seed: bytes) -> str | None:
    """Return why bytes are no seed of a key, and what to do, or None."""
    if len(seed) != SEED_BYTES:
        return f"must be exactly {SEED_BYTES} bytes, has {len(seed)}; restore the file, or delete it, and a new key is made"
    return BLANK if is_blank(seed) else None


_PRIME = 2**255 - 19  # RFC 8032 §5.1
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME


def is_node_id(public: bytes) -> bool:
    """Whether bytes are the public key of a node: a point of Ed25519 (RFC 8032 §5.1.3).

    Half of all values of 32 bytes are none; programs that decode them fail on the rest of the list, too.
    """
    if len(public) != SEED_BYTES:
        return False
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    # x² is u/v, which is a square where u·v is one.
    u, v = (y * y - 1) % _PRIME, (_D * y * y + 1) % _PRIME
    return pow(u * v, (_PRIME - 1) // 2, _PRIME) != _PRIME - 1


class NodeKey:
    """Signing key of a hub, an edge or an agent."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key that 32 random bytes stand for."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def private(self) -> Ed25519PrivateKey:
        """The key itself, for certificates."""
        return self._private

    def derive(self, context: str) -> bytes:
        """Return 32 secret bytes for one purpose, which tell nothing of the key."""
        seed = self._private.private_bytes_raw()
        return blake3.blake3(seed, derive_key_context=context).digest()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._private.sign(message)

    @override
    def __repr__(self) -> str:
        return f"NodeKey(public={self.public.hex()})"


class TenantKey:
    """Signing key of a tenant, derived from the seed in its invite token."""

    def __init__(self, private: MLDSA65PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.tenant_id = tenant_id_of(self.public)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key that the 32 bytes in a token stand for."""
        return cls(MLDSA65PrivateKey.from_seed_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the 3309-byte signature, which is another one each time."""
        return self._private.sign(message)

    @override
    def __repr__(self) -> str:
        return f"TenantKey(tenant_id={self.tenant_id.hex()})"


def tenant_id_of(public: bytes) -> TenantId:
    """Return the id of the tenant with this public key."""
    return TenantId(hashlib.sha256(public).digest())


def verify_node(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a node's signature.

    Raises:
        Denied: INVALID_SIGNATURE, also for bytes that are not a public key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Denied(Code.INVALID_SIGNATURE, "not signed by this node") from error


def verify_tenant(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a tenant's signature.

    Raises:
        Denied: INVALID_SIGNATURE, also for bytes that are not a public key.
    """
    try:
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Denied(Code.INVALID_SIGNATURE, "not signed by this tenant") from error


def hash_invite_secret(hash_key: bytes, secret: bytes) -> bytes:
    """Return what a hub stores of an invite's secret: its BLAKE3 hash under a 32-byte key."""
    return blake3.blake3(secret, key=hash_key).digest()


def secrets_equal(one: bytes, other: bytes) -> bool:
    """Compare in constant time, whatever differs."""
    return hmac.compare_digest(one, other)
