"""Codec of heartbeats: the original's body, both ways."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import vectors

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import AgentId, TenantId
from towonel.wire.legacy.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat

VECTORS = vectors.load("entries")
VECTOR = {name: bytes.fromhex(value) for name, value in VECTORS["heartbeat"].items()}
IDS = st.binary(min_size=32, max_size=32)


def test_a_heartbeat_has_the_bytes_of_the_original() -> None:
    heartbeat = Heartbeat(TenantId(VECTOR["tenant_id"]), AgentId(VECTOR["agent_id"]))

    assert encode_heartbeat(heartbeat) == VECTOR["body"]
    assert decode_heartbeat(VECTOR["body"]) == heartbeat


@given(st.builds(Heartbeat, IDS.map(TenantId), IDS.map(AgentId)))
def test_what_is_encoded_decodes_to_the_same(heartbeat: Heartbeat) -> None:
    assert decode_heartbeat(encode_heartbeat(heartbeat)) == heartbeat


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"tenant_id": bytes(32)},
        {"tenant_id": bytes(31), "agent_id": bytes(32)},
        {"tenant_id": bytes(32), "agent_id": "00" * 32},
    ],
)
def test_other_bodies_are_refused(value: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_heartbeat(cbor2.dumps(value))

    assert caught.value.code is Code.MALFORMED


@given(st.binary(max_size=100))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_heartbeat(data)
