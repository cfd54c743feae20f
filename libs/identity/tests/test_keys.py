"""Signing keys: the original's ids, valid signatures, and no secret in any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.identity.keys import (
    TENANT_PUBLIC_KEY_BYTES,
    TENANT_SIGNATURE_BYTES,
    NodeKey,
    TenantKey,
    describe_bad_seed,
    hash_invite_secret,
    is_blank,
    is_node_id,
    secrets_equal,
    tenant_id_of,
    verify_node,
    verify_tenant,
)
from towonel.wire.errors import Code, Denied

VECTORS = vectors.load("identity")
SEED = b"\x2a" * 32
NODE, TENANT = NodeKey.from_seed(SEED), TenantKey.from_seed(SEED)


def test_only_a_seed_of_zeros_is_blank() -> None:
    assert is_blank(bytes(32))
    assert not is_blank(bytes(31) + b"\x01")


def test_bytes_that_are_no_seed_are_described() -> None:
    assert describe_bad_seed(b"k" * 32) is None
    assert "holds only zeros" in str(describe_bad_seed(bytes(32)))
    assert str(describe_bad_seed(b"short")).startswith("must be exactly 32 bytes, has 5; ")


def test_a_seed_gives_the_ids_of_the_original() -> None:
    assert TENANT.tenant_id.hex() == VECTORS["tenant_id"]
    assert NODE.public.hex() == VECTORS["node_id"]
    assert len(TENANT.public) == TENANT_PUBLIC_KEY_BYTES
    assert tenant_id_of(TENANT.public) == TENANT.tenant_id


def test_a_derived_key_is_the_same_each_time_and_another_for_each_purpose_and_key() -> None:
    derived = NODE.derive("one purpose")

    assert len(derived) == 32
    assert NodeKey.from_seed(SEED).derive("one purpose") == derived
    assert NODE.derive("another purpose") != derived
    assert NodeKey.from_seed(bytes(32)).derive("one purpose") != derived
    assert derived != SEED


def test_a_nodes_signature_is_the_one_of_the_vector() -> None:
    assert NODE.sign(b"message").hex() == VECTORS["node_signature_of_message"]


def test_signatures_hold_for_the_message_and_the_key_they_were_made_with() -> None:
    verify_node(NODE.public, NODE.sign(b"message"), b"message")
    verify_tenant(TENANT.public, TENANT.sign(b"message"), b"message")

    assert TENANT.sign(b"message") != TENANT.sign(b"message")
    assert len(TENANT.sign(b"")) == TENANT_SIGNATURE_BYTES


@pytest.mark.parametrize("at", [0, 31, 63])
def test_a_nodes_signature_with_a_changed_byte_is_refused(at: int) -> None:
    signature = bytearray(NODE.sign(b"message"))
    signature[at] ^= 1

    with pytest.raises(Denied) as caught:
        verify_node(NODE.public, bytes(signature), b"message")

    assert caught.value.code is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("at", [0, 1654, 3308])
def test_a_tenants_signature_with_a_changed_byte_is_refused(at: int) -> None:
    signature = bytearray(TENANT.sign(b"message"))
    signature[at] ^= 1

    with pytest.raises(Denied) as caught:
        verify_tenant(TENANT.public, bytes(signature), b"message")

    assert caught.value.code is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(33)])
def test_anything_but_a_key_verifies_nothing(public: bytes) -> None:
    with pytest.raises(Denied):
        verify_node(public, NODE.sign(b"m"), b"m")
    with pytest.raises(Denied):
        verify_tenant(public, TENANT.sign(b"m"), b"m")


def test_another_message_or_key_is_refused() -> None:
    with pytest.raises(Denied):
        verify_node(NODE.public, NODE.sign(b"message"), b"other")
    with pytest.raises(Denied):
        verify_tenant(TenantKey.from_seed(bytes(32)).public, TENANT.sign(b"m"), b"m")


def test_keys_show_their_ids_and_no_more() -> None:
    assert repr(NODE) == f"NodeKey(public={NODE.public.hex()})"
    assert repr(TENANT) == f"TenantKey(tenant_id={TENANT.tenant_id.hex()})"


def test_an_invite_secret_is_hashed_under_the_hubs_key() -> None:
    hashed = hash_invite_secret(bytes(32), b"\x01" * 32)

    assert hashed.hex() == VECTORS["invite_secret_hash"]
    assert hash_invite_secret(b"\x01" * 32, b"\x01" * 32) != hashed


def test_secrets_are_equal_only_when_every_byte_is() -> None:
    assert secrets_equal(b"same", b"same")
    assert not secrets_equal(b"same", b"samE")
    assert not secrets_equal(b"same", b"same ")


@given(st.binary(min_size=32, max_size=32))
def test_every_public_key_is_the_id_of_a_node(seed: bytes) -> None:
    assert is_node_id(NodeKey.from_seed(seed).public)


@given(st.binary(min_size=32, max_size=32))
def test_an_id_of_a_node_is_what_rfc_8032_decodes(public: bytes) -> None:
    assert is_node_id(public) == can_decode(public)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_an_id_of_a_node_has_32_bytes(size: int) -> None:
    assert not is_node_id(bytes(size))


def can_decode(public: bytes) -> bool:
    """Recover x as RFC 8032 §5.1.3 says, step by step."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    y = int.from_bytes(public, "little") % 2**255
    u, v = (y * y - 1) % p, (d * y * y + 1) % p
    x = u * pow(v, 3, p) * pow(u * pow(v, 7, p), (p - 5) // 8, p) % p
    return v * x * x % p in {u, -u % p}
