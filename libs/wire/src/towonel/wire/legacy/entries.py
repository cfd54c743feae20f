"""Codec of the original's signed entries, which make up a tenant's log.

    entry    {payload: bytes, signature: 3309 bytes, tenant_id: 32 bytes}
    payload  {version: 1, tenant_id: 32 bytes, sequence, timestamp: Unix ms, op}

All CBOR, written in this order of keys; unknown keys are ignored. The signature covers the payload
as it was sent, so it is kept as bytes and never encoded again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from towonel.wire import cbor
from towonel.wire.cbor import MAX_UINT, Fields, field_error
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import ID_BYTES, TenantId
from towonel.wire.legacy.ops import Op, read_op, write_op

ENTRY_VERSION = 1
SIGNATURE_BYTES = 3309  # ML-DSA-65, FIPS 204 table 2
MAX_PAYLOAD_BYTES = 16 * 1024  # the longest valid one has some 400 bytes
MAX_LOG_ENTRIES = 10_000  # a log holds what its tenant has, and quotas stay far below
MAX_LOG_BYTES = 64 * 1024 * 1024
_MAX_U64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class EntryPayload:
    """Payload that a tenant signs; `timestamp_ms` is the tenant's claim, and decides nothing."""

    version: int
    tenant_id: TenantId
    sequence: int
    timestamp_ms: int
    op: Op


@dataclass(frozen=True, slots=True)
class SignedEntry:
    """Entry: a payload as it was signed, and the tenant that is said to have signed it."""

    payload: bytes
    signature: bytes = field(repr=False)
    tenant_id: TenantId


def encode_payload(payload: EntryPayload) -> bytes:
    """Return the bytes to sign."""
    return cbor.encode(
        {
            "version": payload.version,
            "tenant_id": payload.tenant_id,
            "sequence": payload.sequence,
            "timestamp": payload.timestamp_ms,
            "op": write_op(payload.op),
        }
    )


def decode_payload(data: bytes) -> EntryPayload:
    """Return what was signed.

    Raises:
        ProtocolError: UNSUPPORTED_OP for an unknown op, and for bytes that are not a payload, as
            the original's hub answers; then UNSUPPORTED_VERSION; then MALFORMED for a sequence or
            timestamp above 2^63 - 1, which no table could hold.
    """
    payload = _read_payload(data)
    if payload.version != ENTRY_VERSION:
        raise ProtocolError(Code.UNSUPPORTED_VERSION, f"entry of version {payload.version}")
    for name, value in (("sequence", payload.sequence), ("timestamp", payload.timestamp_ms)):
        if value > MAX_UINT:
            raise field_error(name, f"must be at most {MAX_UINT}")
    return payload


def encode_entry(entry: SignedEntry) -> bytes:
    """Return the entry as a tenant submits it."""
    return cbor.encode(_write_entry(entry))


def decode_entry(data: bytes) -> SignedEntry:
    """Return the entry that `data` holds, its payload unread and its signature unchecked.

    Raises:
        ProtocolError: MALFORMED.
    """
    return _read_entry(cbor.decode(data))


def encode_log(entries: Iterable[SignedEntry]) -> bytes:
    """Return a tenant's log as the hub hands it out, in the order given."""
    return cbor.encode([_write_entry(entry) for entry in entries])


def decode_log(data: bytes) -> list[SignedEntry]:
    """Return the entries of a log, their payloads unread and their signatures unchecked.

    Raises:
        ProtocolError: TOO_LARGE above 64 MiB, or MALFORMED.
    """
    if len(data) > MAX_LOG_BYTES:
        raise ProtocolError(Code.TOO_LARGE, f"a log of {len(data)} bytes")
    items = Fields({"log": cbor.decode(data)}).items("log", MAX_LOG_ENTRIES)
    return [_read_entry(item) for item in items]


def _read_payload(data: bytes) -> EntryPayload:
    try:
        fields = Fields.of(cbor.decode(data))
        return EntryPayload(
            fields.uint("version", _MAX_U64),
            TenantId(fields.octets("tenant_id", ID_BYTES)),
            fields.uint("sequence", _MAX_U64),
            fields.uint("timestamp", _MAX_U64),
            read_op(fields.values.get("op")),
        )
    except ProtocolError as error:
        raise ProtocolError(Code.UNSUPPORTED_OP, error.detail) from error


def _write_entry(entry: SignedEntry) -> Mapping[str, object]:
    return {
        "payload": entry.payload,
        "signature": entry.signature,
        "tenant_id": entry.tenant_id,
    }


def _read_entry(item: object) -> SignedEntry:
    fields = Fields.of(item)
    return SignedEntry(
        fields.octets("payload", at_most=MAX_PAYLOAD_BYTES),
        fields.octets("signature", SIGNATURE_BYTES),
        TenantId(fields.octets("tenant_id", ID_BYTES)),
    )
