"""Signing and verification of the original's entries in a tenant's log."""

from towonel.identity.keys import TenantKey, tenant_id_of, verify_tenant
from towonel.wire.errors import Code, Denied
from towonel.wire.legacy.entries import EntryPayload, SignedEntry, decode_payload, encode_payload


def sign_entry(key: TenantKey, payload: EntryPayload) -> SignedEntry:
    """Return the entry to submit; its signature is another one each time."""
    data = encode_payload(payload)
    return SignedEntry(data, key.sign(data), key.tenant_id)


def verify_entry(public_key: bytes, entry: SignedEntry) -> EntryPayload:
    """Return what the tenant signed, checked in the order of the original's hub.

    Args:
        public_key: of the tenant that the entry names, 1952 bytes.
        entry: as it was sent.

    Raises:
        Denied: INVALID_SIGNATURE; last of all, also for a payload or a key of another tenant than
            the entry names.
        ProtocolError: UNSUPPORTED_OP, UNSUPPORTED_VERSION or MALFORMED, of a payload that the
            tenant did sign.
    """
    verify_tenant(public_key, entry.signature, entry.payload)
    payload = decode_payload(entry.payload)
    if not payload.tenant_id == entry.tenant_id == tenant_id_of(public_key):
        raise Denied(Code.INVALID_SIGNATURE, "signed for another tenant")
    return payload
