"""Peers that break the protocol, and stray datagrams."""

import random
import socket

import pytest
from support.tunnel import (
    PREAMBLE,
    ListeningEdge,
    ScriptedLink,
    echo,
    listening_edge,
    quic_of,
    until,
)

from towonel.tunnel.channel import Channel
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.bounded_connection import BoundedConnection
from towonel.tunnel.quic.connection import MAX_QUIC_STREAMS, Connection
from towonel.tunnel.session import ACCEPTED, Session
from towonel.tunnel.stream_requests import MAX_AWAITING, StreamRequest
from towonel.tunnel.streams import MAX_STREAMS
from towonel.wire import preamble as preambles
from towonel.wire.credit import SESSION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.messages import Abandoned, Challenge, GoAway, Window, encode


def send(connection: Connection, stream_id: int, data: bytes) -> None:
    connection._quic._remote_max_streams_bidi = 10  # whatever the edge allows
    connection.send(stream_id, data)


async def closes_with(edge: ListeningEdge, link: Link, code: Code) -> None:
    assert await link.wait_closed() is code
    await until(lambda: edge.policy.ended_with)
    assert edge.policy.ended_with == [code]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff\xff\xff", Code.TOO_LARGE),
        (b"\x00\x00\x00\x01\xff", Code.MALFORMED),
        (encode(Challenge((1,), bytes(32), bytes(32))), Code.UNEXPECTED_MESSAGE),
        (encode(Window(3, 1)), Code.UNEXPECTED_MESSAGE),
        (encode(Window(1001, 1)), Code.UNEXPECTED_MESSAGE),
        (encode(Abandoned(1, 1)), Code.UNEXPECTED_MESSAGE),
    ],
)
async def test_control_bytes_that_break_the_protocol_close_the_session(
    data: bytes, code: Code
) -> None:
    async with listening_edge() as edge, edge.session() as (_, link):
        link.channel.connection.send(1, data)

        await closes_with(edge, link, code)


async def test_messages_of_types_that_nobody_knows_are_counted_as_others_are() -> None:
    unknown = b"\x00\x00\x00\x04\x82\x18\x63\xa0"  # [99, {}]
    async with listening_edge() as edge, edge.session() as (_, link):
        link.channel.connection.send(1, unknown * 5000)

        await closes_with(edge, link, Code.RATE_LIMITED)


@pytest.mark.parametrize(
    ("stream_id", "data"),
    [(1, encode(Window(None, 1))), (1, encode(Abandoned(5, 1))), (0, b"x"), (1, encode(GoAway()))],
)
async def test_an_agent_that_has_not_said_hello_may_send_nothing_else(
    stream_id: int, data: bytes
) -> None:
    async with listening_edge() as edge:
        link = ScriptedLink(lambda connection: send(connection, stream_id, data))
        with link.connect(edge.address), pytest.raises(TowonelError) as caught:
            await link.wait_opened()

        await until(lambda: edge.policy.refused_with)
        assert caught.value.code is Code.UNEXPECTED_MESSAGE
        assert edge.policy.refused_with == [Code.UNEXPECTED_MESSAGE]


async def test_an_agent_that_resets_a_stream_before_its_hello_is_refused() -> None:
    def reset(connection: Connection) -> None:
        connection.reset(1, Code.CANCELLED)

    async with listening_edge() as edge:
        link = ScriptedLink(reset)
        with link.connect(edge.address), pytest.raises(TowonelError) as caught:
            await link.wait_opened()

        assert caught.value.code is Code.UNEXPECTED_MESSAGE


async def test_an_agent_that_ends_its_control_stream_is_closed() -> None:
    async with listening_edge() as edge, edge.session() as (_, link):
        link.channel.connection.send(1, b"", is_end=True)

        await closes_with(edge, link, Code.UNEXPECTED_MESSAGE)


async def test_an_agent_that_opens_a_stream_is_closed() -> None:
    async with listening_edge() as edge, edge.session() as (_, link):
        send(quic_of(link.channel), 0, b"hello")

        await closes_with(edge, link, Code.UNEXPECTED_MESSAGE)


async def test_an_agent_that_sends_beyond_its_credit_is_closed() -> None:
    async def overrun(request: StreamRequest) -> None:
        await request.accept()
        connection = request._stream._connection
        connection.send(request._stream.stream_id, bytes(STREAM_WINDOW_BYTES + 1))
        await echo(request)

    async with listening_edge() as edge, edge.session(overrun) as (session, link):
        pipe = await session.open(PREAMBLE, b"")

        await closes_with(edge, link, Code.FLOW_CONTROL)
        with pytest.raises(TowonelError):
            await pipe.write(b"x")


async def test_an_agent_that_claims_to_have_sent_more_than_its_credit_is_closed() -> None:
    async def lie(request: StreamRequest) -> None:
        stream = request._stream
        stream._connection.reset(stream.stream_id, Code.CANCELLED)
        message = Abandoned(stream.stream_id, SESSION_WINDOW_BYTES + 1)
        stream._connection.send(1, encode(message))

    async with listening_edge() as edge, edge.session(lie) as (session, link):
        with pytest.raises(TowonelError):
            await session.open(PREAMBLE, b"")

        await closes_with(edge, link, Code.FLOW_CONTROL)


async def test_a_stream_without_a_preamble_is_refused_and_costs_only_that_stream() -> None:
    async with listening_edge() as edge, edge.session() as (session, _):
        for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(2000)):
            stream = session.channel.streams.open()
            await stream.write(junk)
            with pytest.raises(TowonelError) as caught:
                await stream.read()
            await stream.close()

            assert caught.value.code is Code.BAD_PREAMBLE
        assert await still_works(session)


async def test_a_stream_whose_preamble_does_not_come_is_refused_at_the_deadline() -> None:
    async with listening_edge(Timing(preamble_s=0.1)) as edge, edge.session() as (session, _):
        stream = session.channel.streams.open()
        await stream.write(preambles.encode(PREAMBLE)[:3])
        with pytest.raises(TowonelError) as caught:
            await stream.read()
        await stream.close()

        assert caught.value.code is Code.PREAMBLE_TIMEOUT


async def test_an_agent_waits_for_so_many_preambles_and_serves_streams_that_have_one() -> None:
    async with listening_edge() as edge, edge.session() as (session, _):
        silent = [session.channel.streams.open() for _ in range(MAX_AWAITING)]
        for stream in silent:
            await stream.write(preambles.encode(PREAMBLE)[:3])
        one_more = session.channel.streams.open()
        await one_more.write(preambles.encode(PREAMBLE)[:3])
        with pytest.raises(TowonelError) as caught:
            await one_more.read()
        assert caught.value.code is Code.OVERLOADED

        await silent[0].write(preambles.encode(PREAMBLE)[3:])
        assert await silent[0].read() == ACCEPTED
        assert await still_works(session)
        for stream in (*silent, one_more):
            await stream.close()


@pytest.mark.parametrize("message", [Window(41, 1), Abandoned(41, 1)], ids=str)
async def test_a_stream_of_which_messages_come_and_nothing_else_fails_no_agent(
    message: Window | Abandoned,
) -> None:
    """The agent says how much it had sent on it, which an edge that never had it does not take."""
    async with listening_edge(Timing(preamble_s=0.1)) as edge, edge.session() as (session, link):
        session.channel.connection.send(1, encode(message))
        await until(lambda: link.active == 1)

        assert await link.wait_closed() is Code.UNEXPECTED_MESSAGE
        assert link.active == 0


async def still_works(session: Session) -> bool:
    pipe = await session.open(PREAMBLE, b"still here")
    try:
        return await pipe.read() == b"still here"
    finally:
        await pipe.close()


async def test_stray_datagrams_do_not_disturb_sessions() -> None:
    rng = random.Random(1)
    async with listening_edge() as edge, edge.session() as (session, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
            stray.connect(("127.0.0.1", edge.listener.port))
            for size in (0, 1, 20, 1199, 1200, 1500) * 20:
                junk = bytearray(rng.randbytes(size))
                if size > 5:
                    junk[0] |= 0xC0  # a long header
                    junk[1:5] = rng.choice([b"\0\0\0\1", b"\0\0\0\0", b"\xba\xba\xba\xba"])
                stray.send(junk)

        assert await still_works(session)
        assert len(edge.listener._handshaking) == 0


async def test_mangled_datagrams_do_not_disturb_their_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, receive = random.Random(2), Connection.receive

    async with listening_edge() as edge, edge.session() as (session, link):

        def mangled(self: Connection, data: bytes, address: tuple[str, int]) -> None:
            if rng.random() < 0.3:
                changed = bytearray(data)
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
                receive(self, bytes(changed), address)
            receive(self, data, address)

        monkeypatch.setattr(Connection, "receive", mangled)
        for _ in range(20):
            assert await still_works(session)

    assert isinstance(link.channel, Channel)


async def test_a_session_has_so_many_streams_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening_edge() as edge, edge.session() as (session, _):
        streams = [session.channel.streams.open() for _ in range(MAX_STREAMS)]
        with pytest.raises(Unavailable) as open_ones:
            session.channel.streams.open()
        for stream in streams:
            stream.abort(Code.CANCELLED)
        await until(lambda: session.active == 0)
        monkeypatch.setattr(BoundedConnection, "stream_count", MAX_QUIC_STREAMS)
        with pytest.raises(Unavailable) as retained_ones:
            session.channel.streams.open()

    assert open_ones.value.code is retained_ones.value.code is Code.OVERLOADED


async def test_a_peer_that_acknowledges_no_control_message_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening_edge() as edge, edge.session() as (session, link):
        monkeypatch.setattr(link.channel.connection, "receive", lambda *_: None)
        while not edge.policy.ended_with:
            session.channel._send(Window(None, 1))

    assert edge.policy.ended_with == [Code.OVERLOADED]
