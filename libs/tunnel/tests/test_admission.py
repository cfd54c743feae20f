"""Who is let in at an edge, and with which code others are refused, on both sides."""

import dataclasses
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from support.tunnel import (
    EDGE,
    IDENTITY,
    SERVICE,
    TENANT,
    Watch,
    World,
    grant_of,
    hub,
    new_key,
    now_ms,
    until,
)

from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.identity.signatures import session_proof
from towonel.tunnel import link as link_module
from towonel.tunnel import listener as listener_module
from towonel.tunnel import session as session_module
from towonel.tunnel.handshake import AgentHandshake, EdgeHandshake, EdgeIdentity
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.ids import EdgeId, TenantId
from towonel.wire.messages import Challenge, Hello

NONCE = b"n" * 32


def doorman(gate: Watch | None = None) -> EdgeHandshake:
    gate = gate or Watch()
    return EdgeHandshake(IDENTITY, gate.hub_ids, gate.refusal)


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


def test_an_agent_with_a_grant_and_the_right_signature_is_admitted() -> None:
    assert doorman().admit(hello(), NONCE, now_ms()).tenant_id == TENANT


def test_a_hello_for_another_session_or_edge_is_refused() -> None:
    agent = new_key()
    elsewhere = session_proof(NONCE, b"e" * 32, IDENTITY.certificate_sha256)
    other_certificate = session_proof(NONCE, EDGE.public, bytes(32))

    assert code_of(doorman().admit, hello(), b"m" * 32, now_ms()) is Code.INVALID_SIGNATURE
    for proof in (elsewhere, other_certificate):
        relayed = hello(grant=grant_of(agent), signature=agent.sign(proof))
        assert code_of(doorman().admit, relayed, NONCE, now_ms()) is Code.INVALID_SIGNATURE


def test_a_grant_of_another_agent_hub_or_time_is_refused() -> None:
    agent = new_key()
    cases = {
        Code.INVALID_SIGNATURE: hello(grant=grant_of(agent)),
        Code.GRANT_INVALID: hello(grant=grant_of(agent, hub=agent)),
        Code.GRANT_EXPIRED: hello(grant=grant_of(agent, lives_ms=-1)),
        Code.UNSUPPORTED_VERSION: hello(version=2),
    }

    for code, message in cases.items():
        assert code_of(doorman().admit, message, NONCE, now_ms()) is code


def test_a_newer_grant_must_be_for_the_same_agent_and_tenant() -> None:
    agent, guard = new_key(), doorman()
    held = guard._checked(grant_of(agent), now_ms())

    assert guard.renew(held, grant_of(agent, lives_ms=60_000), now_ms()).agent_id == agent.public
    assert code_of(guard.renew, held, grant_of(new_key()), now_ms()) is Code.GRANT_FOREIGN
    stolen = grant_of(agent, tenant=TenantId(bytes(32)))
    assert code_of(guard.renew, held, stolen, now_ms()) is Code.GRANT_FOREIGN


def test_an_agent_answers_only_the_edge_it_dialled_in_a_version_it_speaks() -> None:
    agent = new_key()
    me = AgentHandshake(agent, grant_of(agent), [SERVICE], "test")

    assert code_of(me.answer, Challenge((1,), NONCE, bytes(32)), IDENTITY) is Code.EDGE_UNKNOWN
    newer = Challenge((2, 3), NONCE, EDGE.public)
    assert code_of(me.answer, newer, IDENTITY) is Code.UNSUPPORTED_VERSION


def test_an_edge_whose_facts_do_not_fit_is_not_dialled() -> None:
    other = create_certificate(new_key(), datetime(2026, 1, 1, tzinfo=UTC))

    wrong_hash = dataclasses.replace(IDENTITY, certificate_sha256=bytes(32))
    wrong_key = EdgeIdentity(IDENTITY.edge_id, other, certificate_sha256(other))
    assert code_of(wrong_hash.check) is Code.CERTIFICATE_MISMATCH
    assert code_of(wrong_key.check) is Code.CERTIFICATE_MISMATCH


async def refused(place: World, code: Code, **link: object) -> None:
    """Dial, and check that both sides name the same code."""
    with pytest.raises(TowonelError) as caught:
        async with place.link(**link):  # type: ignore[arg-type]
            pass
    await until(lambda: place.gate.refused_with)

    assert caught.value.code is code
    assert place.gate.refused_with == [code]
    assert place.gate.sessions == []


async def test_both_sides_name_the_code_of_a_refusal() -> None:
    agent = new_key()
    for code, grant in (
        (Code.GRANT_INVALID, grant_of(agent, hub=new_key())),
        (Code.GRANT_EXPIRED, grant_of(agent, lives_ms=-1)),
        (Code.INVALID_SIGNATURE, grant_of(new_key())),
    ):
        async with hub() as place:
            await refused(place, code, agent=agent, grant=grant)


async def test_a_revoked_tenant_is_refused_and_the_next_is_not() -> None:
    async with hub() as place:
        place.gate.refuses = Code.TENANT_REVOKED
        await refused(place, Code.TENANT_REVOKED)
        place.gate.refuses = None
        async with place.link():
            assert len(place.gate.sessions) == 1


async def test_an_edge_with_another_certificate_is_not_trusted() -> None:
    key = new_key()
    pem = create_certificate(key, datetime(2026, 1, 1, tzinfo=UTC))
    impostor = EdgeIdentity(EdgeId(key.public), pem, certificate_sha256(pem))

    async with hub() as place:
        with pytest.raises(TowonelError) as caught:
            async with place.link(edge=impostor):
                pass

    assert caught.value.code is Code.CERTIFICATE_MISMATCH


async def test_a_newer_session_takes_the_place_of_the_older() -> None:
    agent = new_key()
    async with hub() as place, place.link(agent) as older, place.link(agent):
        assert await older.wait_closed() is Code.SUPERSEDED
        assert len(place.gate.sessions) == len(place.listener.sessions) == 1


async def test_a_grant_that_ends_ends_the_session_unless_it_is_renewed() -> None:
    kept, lost = new_key(), new_key()
    async with (
        hub() as place,
        place.link(kept, grant=grant_of(kept, lives_ms=700)) as renewed,
        place.link(lost, grant=grant_of(lost, lives_ms=700)) as over,
    ):
        renewed.renew(grant_of(kept))

        assert await over.wait_closed() is Code.GRANT_EXPIRED
        assert place.gate.ended_with == [Code.GRANT_EXPIRED]
        assert len(place.gate.sessions) == 1


async def test_a_renewal_with_somebody_elses_grant_ends_the_session() -> None:
    async with hub() as place, place.link() as link:
        link.renew(grant_of(new_key()))

        assert await link.wait_closed() is Code.GRANT_FOREIGN


async def test_who_never_says_hello_is_closed_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "HELLO_TIMEOUT_S", 0.3)
    monkeypatch.setattr(link_module.Link, "message", lambda *_: None)

    async with hub() as place:
        await refused(place, Code.HELLO_TIMEOUT)


async def test_nobody_at_the_address_is_found_out_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "HANDSHAKE_TIMEOUT_S", 0.3)
    async with hub() as place:
        place.listener.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            place.listener._endpoint._sock = silent
            with pytest.raises(Unavailable) as caught:
                async with place.link():
                    pass

    assert caught.value.code is Code.SESSION_LOST


async def test_strangers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_HANDSHAKES", 0)
    monkeypatch.setattr(link_module, "HANDSHAKE_TIMEOUT_S", 0.5)
    async with hub() as place:
        with pytest.raises(Unavailable):
            async with place.link():
                pass

        assert set(place.gate.refused_with) == {Code.OVERLOADED}
        assert place.listener._by_id == {}


async def test_after_the_listener_closes_agents_know_why() -> None:
    async with hub() as place, place.link() as link:
        place.listener.close()

        assert await link.wait_closed() is Code.DRAINING
