"""Sessions over TCP: admitted and ended as over QUIC, without streams, and bounded."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from support.tcp_edge import SHORT, TcpEdge
from support.tunnel import (
    PREAMBLE,
    listening_edge,
    new_key,
    until,
)

from towonel.tunnel.core.bounds.handshake_places import HandshakeLimits
from towonel.tunnel.core.events import LanesRequested
from towonel.tunnel.core.stream_ids import CONTROL_STREAM
from towonel.tunnel.tcp.connection import (
    FRAMES_AT_ONCE,
    MAX_UNSENT_BYTES,
    PINGS_AT_ONCE,
    TcpConnection,
)
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable
from towonel.wire.messages import Abandoned, Window, encode
from towonel.wire.tcp import session_frames
from towonel.wire.tcp.session_frames import SessionFrame


@pytest.fixture
async def edge() -> AsyncIterator[TcpEdge]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        async with listening_edge(SHORT, has_lanes=True) as listening, asyncio.TaskGroup() as tasks:
            made = TcpEdge(listening, server)
            taking = tasks.create_task(made.take_all())
            yield made
            taking.cancel()


async def test_an_agent_is_admitted_and_told_of_lanes(edge: TcpEdge) -> None:
    async with edge.dial() as link:
        (session,) = edge.edge.policy.sessions
        session.channel.request(LanesRequested(7))
        await until(lambda: link.lanes_wanted == {link.session_id: 7})

        assert link.is_by_tcp
        assert link.lane_secret == session.lane_secret
        assert link.session_id == session.session_id
        assert not session.has_streams
        assert session.peer.startswith("127.0.0.1:")
    await until(lambda: edge.edge.policy.ended_with == [Code.NORMAL])


async def test_no_stream_is_opened_on_it(edge: TcpEdge) -> None:
    async with edge.dial():
        (session,) = edge.edge.policy.sessions
        with pytest.raises(Unavailable) as caught:
            await session.open(PREAMBLE, b"x")

    assert caught.value.code is Code.OVERLOADED


@pytest.mark.parametrize("message", [Window(5, 1), Abandoned(5, 1)], ids=str)
async def test_an_edge_that_speaks_of_a_stream_is_closed(
    edge: TcpEdge, message: Window | Abandoned
) -> None:
    async with edge.dial() as link:
        (session,) = edge.edge.policy.sessions
        session.connection.send(CONTROL_STREAM, encode(message))

        assert await link.wait_closed() is Code.UNEXPECTED_MESSAGE
    await until(lambda: edge.edge.policy.ended_with == [Code.UNEXPECTED_MESSAGE])


async def test_go_away_and_the_code_of_the_end_arrive(edge: TcpEdge) -> None:
    async with edge.dial() as link:
        (session,) = edge.edge.policy.sessions
        session.go_away()
        async with asyncio.timeout(20):
            await link.wait_going_away()
        session.close(Code.TENANT_REVOKED)
        assert await link.wait_closed() is Code.TENANT_REVOKED


async def test_a_refused_agent_hears_why(edge: TcpEdge) -> None:
    edge.edge.policy.refuses = Code.TENANT_REVOKED
    with pytest.raises(TowonelError) as caught:
        async with edge.dial():
            pass

    assert caught.value.code is Code.TENANT_REVOKED
    assert edge.edge.policy.refused_with == [Code.TENANT_REVOKED]


async def test_a_session_over_quic_takes_the_place_of_it(edge: TcpEdge) -> None:
    agent = new_key()
    async with edge.dial(agent) as link, edge.edge.link(agent):
        assert await link.wait_closed() is Code.SUPERSEDED
        (session,) = edge.edge.policy.sessions
        assert session.has_streams


async def test_an_edge_with_another_certificate_is_told_nothing(edge: TcpEdge) -> None:
    with pytest.raises(Denied) as caught:
        async with edge.dial(pin=b"x" * 32):
            pass

    assert caught.value.code is Code.CERTIFICATE_MISMATCH
    assert edge.edge.policy.sessions == []


async def test_it_lives_while_both_ends_answer_pings(edge: TcpEdge) -> None:
    pings = 2 * SHORT.idle_s / SHORT.agent_keepalive_s  # and nothing else is said
    async with edge.dial() as link:
        connection = link.channel.connection
        assert isinstance(connection, TcpConnection)
        await until(lambda: connection._pings._number >= pings)

        assert link.is_serving
        assert 0 < edge.edge.policy.sessions[0].connection.rtt_s < SHORT.idle_s


async def test_a_peer_that_says_nothing_more_is_given_up(edge: TcpEdge) -> None:
    async with edge.dial() as link:
        connection = link.channel.connection
        assert isinstance(connection, TcpConnection)
        asyncio.get_running_loop().remove_reader(connection._sock.fileno())

        await until(lambda: edge.edge.policy.ended_with == [Code.SESSION_LOST])


async def test_a_cut_is_the_loss_of_the_session(edge: TcpEdge) -> None:
    async with edge.dial() as link:
        (sock,) = edge.taken
        socket.socket.shutdown(sock, socket.SHUT_RDWR)

        assert await link.wait_closed() is Code.SESSION_LOST
        await until(lambda: edge.edge.policy.ended_with == [Code.SESSION_LOST])


async def test_a_stranger_who_says_nothing_holds_a_place_for_so_long(edge: TcpEdge) -> None:
    with await asyncio.to_thread(edge.connect) as sock:
        answer = await asyncio.to_thread(sock.recv, 1)
        assert answer == bytes([SessionFrame.PING])
        await until(lambda: edge.edge.policy.refused_with)

    assert edge.edge.policy.sessions == []
    assert not edge.edge.listener._by_tcp.open_ones
    assert not edge.edge.listener._handshaking


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x09\0\0\1x", Code.UNEXPECTED_MESSAGE),
        (b"\1\xff\xff\xff", Code.MALFORMED),
        (
            session_frames.encode(SessionFrame.PING, bytes(8)) * (2 * PINGS_AT_ONCE),
            Code.RATE_LIMITED,
        ),
        (
            session_frames.encode(SessionFrame.PONG, bytes(8)) * (2 * FRAMES_AT_ONCE),
            Code.RATE_LIMITED,
        ),
    ],
    ids=["a type", "a length", "pings", "pongs"],
)
async def test_what_breaks_the_protocol_ends_it_with_its_code(
    edge: TcpEdge, sent: bytes, code: Code
) -> None:
    with await asyncio.to_thread(edge.connect) as sock:
        sock.sendall(sent)
        await until(lambda: edge.edge.policy.refused_with == [code])


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (HandshakeLimits(total=1), Code.OVERLOADED),
        (HandshakeLimits(per_s=0.001, burst=1), Code.RATE_LIMITED),
    ],
    ids=["at once", "in a time"],
)
async def test_a_source_has_so_many_handshakes_and_no_more(
    limits: HandshakeLimits, code: Code
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        async with listening_edge(limits=limits) as listening, asyncio.TaskGroup() as tasks:
            edge = TcpEdge(listening, server)
            taking = tasks.create_task(edge.take_all())
            with socket.create_connection(edge.address), socket.create_connection(edge.address):
                await until(lambda: listening.policy.refused_with == [code])
                assert len(listening.listener._by_tcp.open_ones) == 1
            taking.cancel()


async def test_a_peer_that_reads_nothing_is_closed_before_much_is_held(edge: TcpEdge) -> None:
    async with edge.dial() as link:
        (session,) = edge.edge.policy.sessions
        connection = link.channel.connection
        assert isinstance(connection, TcpConnection)
        asyncio.get_running_loop().remove_reader(connection._sock.fileno())
        edge.taken[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        held = session.connection.send_budget
        for _ in range(400_000):
            session.channel.request(LanesRequested(3))
            if session.connection.close_reason is not None:
                break

        assert edge.edge.policy.ended_with == [Code.OVERLOADED]
        assert held.held < MAX_UNSENT_BYTES + 100
