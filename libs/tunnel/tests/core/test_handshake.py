"""Handshake: which Hello an edge admits, and which edge an agent answers."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.tunnel import (
    EDGE,
    HUB,
    IDENTITY,
    SERVICE,
    TENANT,
    RecordingPolicy,
    grant_of,
    new_key,
    now_ms,
)

from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.identity.grants import Grant, verify
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import session_proof
from towonel.tunnel.core.handshake import AgentHandshake, EdgeHandshake, EdgeIdentity
from towonel.wire.errors import Code, TowonelError
from towonel.wire.ids import TenantId
from towonel.wire.messages import Challenge, Hello

NONCE = b"n" * 32


def edge(
    policy: RecordingPolicy | None = None, *, is_draining: Callable[[], bool] = lambda: False
) -> EdgeHandshake:
    policy = policy or RecordingPolicy()
    return EdgeHandshake(IDENTITY, policy.hub_ids, policy.refuse, policy.refuse_more, is_draining)


def code_of(call: object, *arguments: object) -> Code:
    with pytest.raises(TowonelError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def hello(**changes: Any) -> Hello:
    agent = new_key()
    answer = AgentHandshake(agent, grant_of(agent), [SERVICE], "test").answer(
        Challenge((1,), NONCE, EDGE.public), IDENTITY
    )
    return dataclasses.replace(answer, **changes)


def held_grant(agent: NodeKey) -> Grant:
    return verify(grant_of(agent), (HUB.public,), now_ms())


def test_an_agent_with_a_grant_and_the_right_signature_is_admitted() -> None:
    assert edge().admit(hello(), NONCE, now_ms()).tenant_id == TENANT


def test_a_hello_for_another_session_or_edge_is_refused() -> None:
    agent = new_key()
    elsewhere = session_proof(NONCE, b"e" * 32, IDENTITY.certificate_sha256)
    other_certificate = session_proof(NONCE, EDGE.public, bytes(32))

    assert code_of(edge().admit, hello(), b"m" * 32, now_ms()) is Code.INVALID_SIGNATURE
    for proof in (elsewhere, other_certificate):
        relayed = hello(grant=grant_of(agent), signature=agent.sign(proof))
        assert code_of(edge().admit, relayed, NONCE, now_ms()) is Code.INVALID_SIGNATURE


def test_a_grant_of_another_agent_hub_or_time_is_refused() -> None:
    agent = new_key()
    cases = {
        Code.INVALID_SIGNATURE: hello(grant=grant_of(agent)),
        Code.GRANT_INVALID: hello(grant=grant_of(agent, hub=agent)),
        Code.GRANT_EXPIRED: hello(grant=grant_of(agent, lives_ms=-1)),
        Code.UNSUPPORTED_VERSION: hello(version=2),
    }

    for code, message in cases.items():
        assert code_of(edge().admit, message, NONCE, now_ms()) is code


def test_an_edge_that_knows_no_hub_yet_says_nothing_about_a_grant() -> None:
    policy = RecordingPolicy()
    without = EdgeHandshake(IDENTITY, lambda: (), policy.refuse, policy.refuse_more, lambda: False)

    assert code_of(without.admit, hello(), NONCE, now_ms()) is Code.HUB_UNAVAILABLE


def test_an_agent_of_a_refused_tenant_is_refused_whatever_its_signature() -> None:
    policy = RecordingPolicy()
    policy.refuses = Code.TENANT_REVOKED

    for message in (hello(), hello(signature=bytes(64))):
        assert code_of(edge(policy).admit, message, NONCE, now_ms()) is Code.TENANT_REVOKED


def test_a_draining_edge_admits_no_agent_and_keeps_those_it_has() -> None:
    agent, handshake = new_key(), edge(is_draining=lambda: True)

    assert code_of(handshake.admit, hello(), NONCE, now_ms()) is Code.GOING_AWAY
    renewed = handshake.renew(held_grant(agent), grant_of(agent), now_ms())
    assert renewed.agent_id == agent.public


def test_a_newer_grant_must_be_for_the_same_agent_and_tenant() -> None:
    agent, handshake = new_key(), edge()
    held = held_grant(agent)

    assert (
        handshake.renew(held, grant_of(agent, lives_ms=60_000), now_ms()).agent_id == agent.public
    )
    assert code_of(handshake.renew, held, grant_of(new_key()), now_ms()) is Code.GRANT_FOREIGN
    stolen = grant_of(agent, tenant=TenantId(bytes(32)))
    assert code_of(handshake.renew, held, stolen, now_ms()) is Code.GRANT_FOREIGN


def test_an_agent_answers_only_the_edge_it_dialled_in_a_version_it_speaks() -> None:
    agent = new_key()
    me = AgentHandshake(agent, grant_of(agent), [SERVICE], "test")

    assert code_of(me.answer, Challenge((1,), NONCE, bytes(32)), IDENTITY) is Code.EDGE_UNKNOWN
    newer = Challenge((2, 3), NONCE, EDGE.public)
    assert code_of(me.answer, newer, IDENTITY) is Code.UNSUPPORTED_VERSION


def test_an_edge_whose_certificate_does_not_fit_its_identity_is_not_dialled() -> None:
    other = create_certificate(new_key(), datetime(2026, 1, 1, tzinfo=UTC))
    IDENTITY.check()

    wrong_hash = dataclasses.replace(IDENTITY, certificate_sha256=bytes(32))
    wrong_key = EdgeIdentity(IDENTITY.edge_id, other, certificate_sha256(other))
    assert code_of(wrong_hash.check) is Code.CERTIFICATE_MISMATCH
    assert code_of(wrong_key.check) is Code.CERTIFICATE_MISMATCH
