"""Admission of agents at an edge, and the code of a refusal on both sides."""

import contextlib
import socket
from datetime import UTC, datetime, timedelta

import pytest
from aioquic.quic.events import HandshakeCompleted
from support.raw_quic import RawQuic
from support.tunnel import (
    EDGE,
    ListeningEdge,
    ScriptedLink,
    grant_of,
    listening_edge,
    new_key,
    until,
)

from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.tunnel.core.bounds.handshake_places import DEFAULT_LIMITS, HandshakeLimits
from towonel.tunnel.core.events import RenewRequested
from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.tunnel.core.timing import Timing
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable
from towonel.wire.ids import EdgeId, TenantId


async def refused(edge: ListeningEdge, code: Code, **link: object) -> None:
    """Dial, and check that both sides name the same code."""
    with pytest.raises(TowonelError) as caught:
        async with edge.link(**link):  # type: ignore[arg-type]
            pass
    await until(lambda: edge.policy.refused_with)

    assert caught.value.code is code
    assert edge.policy.refused_with == [code]
    assert edge.policy.sessions == []


async def test_both_sides_name_the_code_of_a_refusal() -> None:
    agent = new_key()
    for code, grant in (
        (Code.GRANT_INVALID, grant_of(agent, hub=new_key())),
        (Code.GRANT_EXPIRED, grant_of(agent, lives_ms=-1)),
        (Code.INVALID_SIGNATURE, grant_of(new_key())),
    ):
        async with listening_edge() as edge:
            await refused(edge, code, agent=agent, grant=grant)


async def test_a_revoked_tenant_is_refused_and_the_next_is_not() -> None:
    async with listening_edge() as edge:
        edge.policy.refuses = Code.TENANT_REVOKED
        await refused(edge, Code.TENANT_REVOKED)
        edge.policy.refuses = None
        async with edge.link():
            assert len(edge.policy.sessions) == 1


async def test_an_edge_with_another_certificate_is_not_trusted() -> None:
    key = new_key()
    pem = create_certificate(key, datetime(2026, 1, 1, tzinfo=UTC))
    impostor = EdgeIdentity(EdgeId(key.public), pem, certificate_sha256(pem))

    async with listening_edge() as edge:
        with pytest.raises(TowonelError) as caught:
            async with edge.link(edge=impostor):
                pass

    assert caught.value.code is Code.CERTIFICATE_MISMATCH


async def test_a_newer_session_takes_the_place_of_the_older() -> None:
    agent = new_key()
    async with listening_edge() as edge, edge.link(agent) as older, edge.link(agent):
        assert await older.wait_closed() is Code.SUPERSEDED
        assert len(edge.policy.sessions) == len(edge.listener.sessions) == 1


async def test_a_grant_that_ends_ends_the_session_unless_it_is_renewed() -> None:
    retained, lost = new_key(), new_key()
    async with (
        listening_edge() as edge,
        edge.link(retained, grant=grant_of(retained, lives_ms=700)) as renewed,
        edge.link(lost, grant=grant_of(lost, lives_ms=700)) as over,
    ):
        renewed.channel.request(RenewRequested(grant_of(retained)))

        assert await over.wait_closed() is Code.GRANT_EXPIRED
        assert edge.policy.ended_with == [Code.GRANT_EXPIRED]
        assert len(edge.policy.sessions) == 1


async def test_a_grant_is_renewed_while_its_edge_is_draining() -> None:
    agent = new_key()
    grant = grant_of(agent, lives_ms=20_000)
    async with listening_edge() as edge, edge.link(agent, grant=grant) as link:
        edge.listener.go_away()
        [session] = edge.policy.sessions
        first_end = session._machine.deadline or 0
        link.channel.request(RenewRequested(grant_of(agent)))

        await until(lambda: edge.policy.ended_with or session._machine.deadline != first_end)
        assert (session._machine.deadline or 0) > first_end + 3000


async def test_a_renewal_with_the_grant_of_another_agent_ends_the_session() -> None:
    async with listening_edge() as edge, edge.link() as link:
        link.channel.request(RenewRequested(grant_of(new_key())))

        assert await link.wait_closed() is Code.GRANT_FOREIGN


async def test_an_agent_that_never_says_hello_is_closed_at_the_deadline() -> None:
    async with listening_edge(Timing(hello_s=0.3)) as edge:
        link = ScriptedLink()
        with link.connect(edge.address), pytest.raises(TowonelError) as caught:
            await link.wait_opened()

        assert caught.value.code is Code.HELLO_TIMEOUT
        assert edge.policy.refused_with == [Code.HELLO_TIMEOUT]


async def test_an_address_without_an_edge_is_given_up_at_the_deadline() -> None:
    async with listening_edge(Timing(welcome_s=0.3)) as edge:
        edge.listener.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            edge.listener.endpoint._sock = silent
            with pytest.raises(Unavailable) as caught:
                async with edge.link():
                    pass

    assert caught.value.code is Code.SESSION_LOST


async def test_handshakes_are_bounded() -> None:
    async with listening_edge(Timing(welcome_s=0.5), limits=HandshakeLimits(total=0)) as edge:
        with pytest.raises(Unavailable):
            async with edge.link():
                pass

        assert set(edge.policy.refused_with) == {Code.OVERLOADED}
        assert edge.listener._by_id == {}


async def test_the_handshakes_of_a_source_are_bounded_and_a_place_is_given_back() -> None:
    async with listening_edge(Timing(hello_s=0.5)) as edge, contextlib.AsyncExitStack() as exits:
        for _ in range(DEFAULT_LIMITS.per_source + 4):
            exits.enter_context(RawQuic(edge.listener.port))
        await until(lambda: len(edge.listener._handshaking) == DEFAULT_LIMITS.per_source)
        await until(lambda: Code.OVERLOADED in edge.policy.refused_with)
        await until(lambda: Code.HELLO_TIMEOUT in edge.policy.refused_with)

        async with edge.link():
            assert len(edge.policy.sessions) == 1


async def test_the_fullest_source_makes_room_for_another() -> None:
    async with (
        listening_edge(limits=HandshakeLimits(total=2)) as edge,
        contextlib.AsyncExitStack() as exits,
    ):
        for _ in range(2):
            stranger = exits.enter_context(RawQuic(edge.listener.port, "127.0.0.66"))
            await stranger.connected()
        async with edge.link():
            assert len(edge.policy.sessions) == 1

        assert edge.policy.refused_with == [Code.OVERLOADED]


async def test_a_token_opens_one_connection() -> None:
    async with listening_edge() as edge:
        with RawQuic(edge.listener.port) as stranger:
            await stranger.connected()
            captured = stranger.sent[1]  # the Initial with the token of the Retry
            stranger.leave()
            await until(lambda: edge.policy.refused_with)
            for _ in range(20):
                stranger.send_datagram(captured)
            await still_linking(edge)

        assert len(edge.listener._handshaking) == 0
        assert len(edge.policy.refused_with) == 1


async def still_linking(edge: ListeningEdge) -> None:
    async with edge.link():
        assert len(edge.policy.sessions) == 1


async def test_an_agent_above_a_limit_on_sessions_is_told_so_but_may_replace_its_own() -> None:
    agent = new_key()
    async with listening_edge() as edge, edge.link(agent) as older:
        edge.policy.refuses_more = Code.LIMIT_EXCEEDED
        with pytest.raises(Denied) as caught:
            async with edge.link():
                pass
        with pytest.raises(Denied):
            async with edge.link(agent, grant=grant_of(agent, tenant=TenantId(b"o" * 32))):
                pass
        async with edge.link(agent):
            assert await older.wait_closed() is Code.SUPERSEDED

    assert caught.value.code is Code.LIMIT_EXCEEDED


async def test_an_address_begins_so_many_handshakes_in_a_time_and_others_begin_theirs() -> None:
    async with listening_edge(limits=HandshakeLimits(per_s=0.001, burst=3)) as edge:
        for _ in range(3):
            with RawQuic(edge.listener.port, "127.0.0.66") as stranger:
                await stranger.connected()
                stranger.leave()
        with RawQuic(edge.listener.port, "127.0.0.66") as stranger:
            await until(lambda: Code.RATE_LIMITED in edge.policy.refused_with)
            await still_linking(edge)

            assert not stranger.has_seen(HandshakeCompleted)


async def test_an_agent_notices_at_once_that_its_edge_was_started_again() -> None:
    timing = Timing(agent_keepalive_s=0.1)
    async with listening_edge(timing) as edge, edge.link() as link:
        forgotten = edge.listener._by_id.copy()
        edge.listener._by_id.clear()  # as a new process knows nothing of them

        assert await link.wait_closed() is Code.SESSION_LOST
        edge.listener._by_id.update(forgotten)


@pytest.mark.parametrize("behind_s", [240, 3 * 3600])
async def test_an_agent_whose_clock_is_behind_the_edges_trusts_a_new_certificate(
    behind_s: int,
) -> None:
    pem = create_certificate(EDGE, datetime.now(UTC) + timedelta(seconds=behind_s))
    identity = EdgeIdentity(EdgeId(EDGE.public), pem, certificate_sha256(pem))

    async with listening_edge(certificate_pem=pem) as edge, edge.link(edge=identity):
        assert len(edge.policy.sessions) == 1


async def test_after_the_listener_closes_agents_know_why() -> None:
    async with listening_edge() as edge, edge.link() as link:
        edge.listener.close()

        assert await link.wait_closed() is Code.DRAINING
