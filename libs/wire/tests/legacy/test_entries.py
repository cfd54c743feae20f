"""Codec of signed entries: the original's bytes, both ways, and one error for all others."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy import entries
from towonel.wire.legacy.entries import (
    EntryPayload,
    SignedEntry,
    decode_entry,
    decode_log,
    decode_payload,
    encode_entry,
    encode_log,
    encode_payload,
)
from towonel.wire.legacy.ops import (
    Op,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertUdpService,
)
from towonel.wire.legacy.ops import read_op as op_of
from towonel.wire.routes import TlsMode

VECTORS = vectors.load("entries")
TENANT = TenantId(bytes.fromhex(VECTORS["tenant_id"]))
PAYLOAD = cbor2.loads(bytes.fromhex(VECTORS["payloads"][0]["payload"]))
ENTRY = {"payload": b"p", "signature": bytes(3309), "tenant_id": TENANT}
IDS = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(UpsertHostname, NAMES),
    st.builds(SetHostnameTls, NAMES, st.sampled_from([TlsMode.PASSTHROUGH, TlsMode.TERMINATE])),
    st.builds(UpsertAgent, IDS.map(AgentId)),
    st.builds(UpsertUdpService, NAMES, st.integers(0, 65_535)),
)
UINTS = st.integers(0, 2**63 - 1)
PAYLOADS = st.builds(EntryPayload, st.just(1), IDS.map(TenantId), UINTS, UINTS, OPS)
ENTRIES = st.builds(
    SignedEntry,
    st.binary(max_size=200),
    st.binary(min_size=9, max_size=9).map(lambda seed: (seed * 368)[:3309]),
    IDS.map(TenantId),
)


def payload_of(vector: dict[str, Any]) -> EntryPayload:
    """Return the payload that the fields of a vector describe."""
    body = dict(vector["fields"])
    if "agent_id" in body:
        body["agent_id"] = bytes.fromhex(body["agent_id"])
    if "mode" in body:
        body["mode"] = {"mode": body["mode"]}
    op = op_of({vector["op"]: body})
    return EntryPayload(1, TENANT, vector["sequence"], vector["timestamp"], op)


def refusal(value: object) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode_payload(cbor2.dumps(value))
    return caught.value


@pytest.mark.parametrize("vector", VECTORS["payloads"], ids=lambda v: f"{v['op']}-{v['sequence']}")
def test_payloads_have_the_bytes_of_the_original(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["payload"])

    assert encode_payload(payload_of(vector)) == data
    assert decode_payload(data) == payload_of(vector)


def test_there_is_a_vector_for_every_op() -> None:
    assert len({vector["op"] for vector in VECTORS["payloads"]}) == 9


def test_an_entry_and_a_log_have_the_bytes_of_the_original() -> None:
    data = bytes.fromhex(VECTORS["entry"]["entry"])
    entry = decode_entry(data)

    assert entry.payload.hex() == VECTORS["entry"]["payload"]
    assert entry.tenant_id == TENANT
    assert encode_entry(entry) == data
    assert encode_log([entry, entry]) == b"\x82" + data + data
    assert decode_log(b"\x82" + data + data) == [entry, entry]


@given(PAYLOADS)
def test_a_payload_decodes_to_what_was_encoded(payload: EntryPayload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


@given(st.lists(ENTRIES, max_size=3))
def test_entries_decode_to_what_was_encoded_whatever_is_inside(log: list[SignedEntry]) -> None:
    assert decode_log(encode_log(log)) == log
    assert [decode_entry(encode_entry(entry)) for entry in log] == log


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant_id": bytes(31)}, {"tenant_id": None}, {"sequence": -1}, {"sequence": 2**64},
        {"sequence": 1.0}, {"timestamp": "now"}, {"version": "1"}, {"op": {"explode": {}}},
        {"op": {}}, {"op": {"set_hostname_tls": {"hostname": "a.eu", "mode": {"mode": "x"}}}},
        {"version": 2, "op": {"explode": {}}},
    ],
)  # fmt: skip
def test_a_payload_of_another_form_is_an_unsupported_op(changed: dict[str, object]) -> None:
    assert refusal({**PAYLOAD, **changed}).code is Code.UNSUPPORTED_OP


def test_anything_but_a_map_is_an_unsupported_op() -> None:
    assert refusal([]).code is Code.UNSUPPORTED_OP
    assert refusal({}).code is Code.UNSUPPORTED_OP


@pytest.mark.parametrize("version", [0, 2, 2**64 - 1])
def test_a_wrong_version_is_reported_before_a_sequence_out_of_bounds(version: int) -> None:
    error = refusal({**PAYLOAD, "version": version, "sequence": 2**63})

    assert error.code is Code.UNSUPPORTED_VERSION


@pytest.mark.parametrize("name", ["sequence", "timestamp"])
def test_numbers_that_no_table_can_hold_are_refused_by_name(name: str) -> None:
    largest = decode_payload(cbor2.dumps({**PAYLOAD, name: 2**63 - 1}))

    assert 2**63 - 1 in {largest.sequence, largest.timestamp_ms}
    for value in (2**63, 2**64 - 1):
        error = refusal({**PAYLOAD, name: value})

        assert error.code is Code.MALFORMED
        assert error.detail.startswith(name)


def test_unknown_keys_are_ignored() -> None:
    assert decode_payload(cbor2.dumps({**PAYLOAD, "new": 1})).sequence == 0
    assert decode_entry(cbor2.dumps({**ENTRY, "new": 1})).payload == b"p"


@pytest.mark.parametrize(
    "value",
    [
        [], {}, {**ENTRY, "payload": "p"}, {**ENTRY, "payload": bytes(16 * 1024 + 1)},
        {**ENTRY, "signature": bytes(3308)}, {**ENTRY, "signature": bytes(3310)},
        {**ENTRY, "tenant_id": bytes(33)}, {**ENTRY, "tenant_id": TENANT.hex()},
    ],
)  # fmt: skip
def test_entries_of_another_form_are_refused_alone_and_in_a_log(value: object) -> None:
    with pytest.raises(ProtocolError) as alone:
        decode_entry(cbor2.dumps(value))
    with pytest.raises(ProtocolError) as in_log:
        decode_log(cbor2.dumps([ENTRY, value]))

    assert alone.value.code is in_log.value.code is Code.MALFORMED


def test_the_largest_payload_is_taken() -> None:
    data = cbor2.dumps({**ENTRY, "payload": bytes(16 * 1024)})

    assert len(decode_entry(data).payload) == 16 * 1024


def test_a_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match="log must have at most 10000 items"):
        decode_log(cbor2.dumps([1] * 10_001))
    with pytest.raises(ProtocolError, match="log must be an array"):
        decode_log(cbor2.dumps(ENTRY))
    monkeypatch.setattr(entries, "MAX_LOG_BYTES", 10)
    with pytest.raises(ProtocolError) as caught:
        decode_log(bytes(11))

    assert caught.value.code is Code.TOO_LARGE


def test_an_entry_does_not_print_its_signature() -> None:
    assert "signature" not in repr(SignedEntry(b"p", bytes(3309), TENANT))


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for decode in (decode_payload, decode_entry):
        with pytest.raises(ProtocolError):
            decode(data)


@given(st.integers(0, 3580), st.integers(1, 255))
def test_a_changed_byte_is_another_entry_or_an_error(at: int, change: int) -> None:
    data = bytearray.fromhex(VECTORS["entry"]["entry"])
    original = decode_entry(bytes(data))
    data[at % len(data)] ^= change
    try:
        found = decode_entry(bytes(data))
    except ProtocolError:
        return

    assert found != original


@given(st.integers(0, 300), st.integers(1, 255))
def test_a_changed_byte_is_another_payload_or_an_error(at: int, change: int) -> None:
    data = bytearray.fromhex(VECTORS["payloads"][6]["payload"])
    original = decode_payload(bytes(data))
    data[at % len(data)] ^= change
    try:
        found = decode_payload(bytes(data))
    except ProtocolError:
        return

    assert found != original
