"""Grants: signed by the hub, verified without the hub."""

import dataclasses

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.identity.grants import CLOCK_TOLERANCE_MS, Grant, issue, verify
from towonel.identity.keys import NodeKey
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import AgentId, TenantId

HUB, OTHER = NodeKey.from_seed(bytes(32)), NodeKey.from_seed(b"\x01" * 32)
NOW = 1_700_000_000_000
GRANT = Grant(AgentId(b"a" * 32), TenantId(b"t" * 32), "default", NOW, NOW + 1000)
TOKEN = issue(HUB, GRANT)


def code_of(token: bytes, now_ms: int = NOW, hubs: tuple[bytes, ...] = (HUB.public,)) -> Code:
    with pytest.raises(Denied) as caught:
        verify(token, hubs, now_ms)
    return caught.value.code


def test_a_grant_of_one_of_the_hubs_says_who_may_speak_for_whom() -> None:
    assert verify(TOKEN, (OTHER.public, HUB.public), NOW) == GRANT


def test_it_holds_from_its_beginning_to_its_end() -> None:
    assert verify(TOKEN, (HUB.public,), NOW - CLOCK_TOLERANCE_MS) == GRANT
    assert verify(TOKEN, (HUB.public,), NOW + 999) == GRANT
    assert code_of(TOKEN, NOW + 1000) is Code.GRANT_EXPIRED
    assert code_of(TOKEN, NOW - CLOCK_TOLERANCE_MS - 1) is Code.GRANT_INVALID


def test_another_hubs_grant_is_refused() -> None:
    assert code_of(TOKEN, hubs=(OTHER.public,)) is Code.GRANT_INVALID
    assert code_of(TOKEN, hubs=()) is Code.GRANT_INVALID


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 255))
def test_any_changed_byte_voids_it(at: int, change: int) -> None:
    changed = TOKEN[:at] + bytes([TOKEN[at] ^ change]) + TOKEN[at + 1 :]

    assert code_of(changed) is Code.GRANT_INVALID


def sign(payload: object) -> bytes:
    body = cbor2.dumps(payload)
    return cbor2.dumps({"payload": body, "signature": HUB.sign(b"towonel/grant/v1" + body)})


PAYLOAD = {
    "v": 1, "agent": b"a" * 32, "tenant": b"t" * 32, "group": "default", "not_before": NOW,
    "not_after": NOW + 1000,
}  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {**PAYLOAD, "v": 2},
        {**PAYLOAD, "agent": b"short"},
        {**PAYLOAD, "group": "No Group"},
        {**PAYLOAD, "not_after": "later"},
    ],
)
def test_a_signed_payload_of_another_form_is_refused(payload: object) -> None:
    assert verify(sign(PAYLOAD), (HUB.public,), NOW) == GRANT
    assert code_of(sign(payload)) is Code.GRANT_INVALID


def test_a_signature_for_another_purpose_is_invalid() -> None:
    body = cbor2.dumps(PAYLOAD)
    token = cbor2.dumps({"payload": body, "signature": HUB.sign(body)})

    assert code_of(token) is Code.GRANT_INVALID


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    assert code_of(data) is Code.GRANT_INVALID


def test_every_part_of_a_grant_is_signed() -> None:
    changed = [
        dataclasses.replace(GRANT, agent_id=AgentId(b"b" * 32)),
        dataclasses.replace(GRANT, tenant_id=TenantId(b"u" * 32)),
        dataclasses.replace(GRANT, group="other"),
        dataclasses.replace(GRANT, not_after_ms=NOW + 9999),
    ]

    assert all(issue(HUB, grant) != TOKEN for grant in changed)
