"""Verification of signed entries: only what the tenant signed, unchanged."""

import dataclasses

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.identity.keys import TenantKey
from towonel.identity.legacy.entries import sign_entry, verify_entry
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError
from towonel.wire.legacy.entries import EntryPayload, SignedEntry, decode_entry, encode_entry
from towonel.wire.legacy.ops import DeleteHostname, UpsertTcpService

VECTORS = vectors.load("entries")
KEY = TenantKey.from_seed(bytes.fromhex(VECTORS["seed"]))
OTHER = TenantKey.from_seed(bytes(32))
VECTOR = bytes.fromhex(VECTORS["entry"]["entry"])
PAYLOAD = EntryPayload(1, KEY.tenant_id, 7, 1_700_000_000_000, DeleteHostname("a.eu"))
ENTRY = sign_entry(KEY, PAYLOAD)


def refusal(public_key: bytes, entry: SignedEntry) -> TowonelError:
    with pytest.raises(TowonelError) as caught:
        verify_entry(public_key, entry)
    return caught.value


def sign(payload: bytes) -> SignedEntry:
    return SignedEntry(payload, KEY.sign(payload), KEY.tenant_id)


def test_the_signature_of_the_vector_holds() -> None:
    payload = verify_entry(KEY.public, decode_entry(VECTOR))

    assert KEY.tenant_id.hex() == VECTORS["tenant_id"]
    assert payload.op == UpsertTcpService("ssh", 2222)


def test_what_was_signed_is_what_is_found() -> None:
    assert verify_entry(KEY.public, ENTRY) == PAYLOAD
    assert verify_entry(KEY.public, decode_entry(encode_entry(ENTRY))) == PAYLOAD


@given(st.integers(0, len(VECTOR) - 1), st.integers(1, 255))
def test_any_changed_byte_voids_it(at: int, change: int) -> None:
    data = bytearray(VECTOR)
    data[at] ^= change
    try:
        entry = decode_entry(bytes(data))
    except ProtocolError as error:
        assert error.code is Code.MALFORMED
        return

    assert refusal(KEY.public, entry).code is Code.INVALID_SIGNATURE


def test_the_signature_is_checked_before_the_payload_is_read() -> None:
    broken = dataclasses.replace(ENTRY, payload=b"no CBOR")

    assert refusal(KEY.public, broken).code is Code.INVALID_SIGNATURE
    assert refusal(KEY.public, sign(b"no CBOR")).code is Code.UNSUPPORTED_OP


def test_a_wrong_version_is_reported_before_another_tenant() -> None:
    payload = {**cbor2.loads(ENTRY.payload), "version": 2, "tenant_id": bytes(32)}

    assert refusal(KEY.public, sign(cbor2.dumps(payload))).code is Code.UNSUPPORTED_VERSION


def test_bytes_are_verified_as_they_came_and_never_encoded_again() -> None:
    payload = dict(reversed(cbor2.loads(ENTRY.payload).items()))

    assert cbor2.dumps(payload) != ENTRY.payload
    assert verify_entry(KEY.public, sign(cbor2.dumps(payload))) == PAYLOAD


@pytest.mark.parametrize("where", ["payload", "entry", "key"])
def test_payload_entry_and_key_are_of_one_tenant(where: str) -> None:
    inner = dataclasses.replace(PAYLOAD, tenant_id=OTHER.tenant_id)
    entry, public = {
        "payload": (sign_entry(KEY, inner), KEY.public),
        "entry": (dataclasses.replace(ENTRY, tenant_id=OTHER.tenant_id), KEY.public),
        "key": (
            dataclasses.replace(sign_entry(OTHER, PAYLOAD), tenant_id=KEY.tenant_id),
            OTHER.public,
        ),
    }[where]
    error = refusal(public, entry)

    assert isinstance(error, Denied)
    assert (error.code, error.detail) == (Code.INVALID_SIGNATURE, "signed for another tenant")


def test_another_tenants_signature_is_invalid() -> None:
    assert refusal(OTHER.public, ENTRY).code is Code.INVALID_SIGNATURE
    assert refusal(b"", ENTRY).code is Code.INVALID_SIGNATURE
