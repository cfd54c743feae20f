"""Keys of a lane: a proof or seal holds for what it was made for, and for nothing else."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vectors import load

from towonel.identity.lanes import LaneIdentity, LaneSeal, Role, check_proof, prove
from towonel.wire.errors import Code, Denied

SECRET = bytes(range(32))
LANE = LaneIdentity(b"s" * 16, b"a" * 16, b"e" * 16, b"i" * 32, b"c" * 32)
HEAD = bytes.fromhex("11000021")
FIELDS = ["session_id", "agent_nonce", "edge_nonce", "edge_id", "certificate_hash"]
VECTORS = load("lanes")


@pytest.mark.parametrize("role", Role)
def test_a_proof_holds_for_its_role_alone(role: Role) -> None:
    mac = prove(SECRET, role, LANE)
    other = Role.EDGE if role is Role.AGENT else Role.AGENT

    check_proof(mac, SECRET, role, LANE)
    assert len(mac) == 32
    assert code_of_proof(mac, SECRET, other, LANE) is Code.INVALID_SIGNATURE


@pytest.mark.parametrize("field", FIELDS)
def test_a_proof_covers_all_that_the_ends_must_mean_alike(field: str) -> None:
    value: bytes = getattr(LANE, field)
    other = replace(LANE, **{field: value[:-1] + b"?"})

    mac = prove(SECRET, Role.AGENT, LANE)

    assert code_of_proof(mac, SECRET, Role.AGENT, other) is Code.INVALID_SIGNATURE


def test_a_proof_needs_the_secret() -> None:
    mac = prove(bytes(32), Role.AGENT, LANE)

    assert code_of_proof(mac, SECRET, Role.AGENT, LANE) is Code.INVALID_SIGNATURE


def code_of_proof(mac: bytes, secret: bytes, role: Role, lane: LaneIdentity) -> Code:
    with pytest.raises(Denied) as refused:
        check_proof(mac, secret, role, lane)
    return refused.value.code


@given(st.integers(1, 2**64 - 1), st.binary(max_size=400))
def test_what_is_sealed_is_opened(use: int, content: bytes) -> None:
    seal = LaneSeal(SECRET, LANE)

    payload = seal.seal(use, HEAD, content)

    assert len(payload) == len(content) + 16
    assert LaneSeal(SECRET, LANE).open(use, HEAD, payload) == content


@pytest.mark.parametrize("field", ["agent_nonce", "edge_nonce"])
def test_each_lane_has_a_key_of_its_own(field: str) -> None:
    other = replace(LANE, **{field: b"o" * 16})
    payload = LaneSeal(SECRET, LANE).seal(1, HEAD, b"content")

    with pytest.raises(Denied):
        LaneSeal(SECRET, other).open(1, HEAD, payload)


@pytest.mark.parametrize("changed", ["use", "head", "payload", "cut"])
def test_a_seal_holds_for_its_use_and_head_and_bytes_alone(changed: str) -> None:
    seal = LaneSeal(SECRET, LANE)
    payload = seal.seal(17, HEAD, b"content")
    use = 1 if changed == "use" else 17  # whose low bits, which travel, are the same
    head = bytes.fromhex("11000020") if changed == "head" else HEAD
    payload = bytes([payload[0] ^ 1]) + payload[1:] if changed == "payload" else payload
    payload = payload[:5] if changed == "cut" else payload

    with pytest.raises(Denied) as refused:
        seal.open(use, head, payload)

    assert refused.value.code is Code.INVALID_SIGNATURE


def test_the_bytes_are_those_of_the_protocol() -> None:
    vector = VECTORS["keys"]
    lane = LaneIdentity(**{name: bytes.fromhex(vector[name]) for name in FIELDS})
    secret = bytes.fromhex(vector["secret"])
    seal = LaneSeal(secret, lane)

    found = {
        "edge_proof": prove(secret, Role.EDGE, lane).hex(),
        "agent_proof": prove(secret, Role.AGENT, lane).hex(),
        "sealed": seal.seal(17, HEAD, b"flags, preamble and first bytes").hex(),
    }

    assert found == {name: vector[name] for name in found}, json.dumps(found)
