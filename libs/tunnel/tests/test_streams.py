"""Streams of a session: opened, refused, ended each way, and bounded by credit."""

import asyncio
import hashlib
import random

import pytest
from support.tunnel import PREAMBLE, echo, listening_edge, quic_of, until

from towonel.tunnel.core.bounds.send_budget import WAKE_BYTES, SendBudget
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.tunnel.stream_requests import StreamRequest
from towonel.wire.credit import MAX_STREAM_WINDOW_BYTES, SESSION_WINDOW_BYTES
from towonel.wire.errors import Code, TowonelError, Unavailable

MIB = 1024 * 1024
SHORT = Timing(silence_s=0.2)
CHUNK = bytes(range(256)) * 256


async def read_all(pipe: Pipe) -> bytes:
    data = bytearray()
    while more := await pipe.read():
        data += more
    return bytes(data)


async def code_of(refused: object) -> Code:
    with pytest.raises(TowonelError) as caught:
        await refused  # type: ignore[misc]
    return caught.value.code


async def test_first_bytes_and_later_ones_arrive_in_order_and_the_end_travels() -> None:
    async with listening_edge() as edge, edge.session() as (session, link):
        pipe = await session.open(PREAMBLE, b"hello ")
        await pipe.write(b"world")
        await pipe.write_eof()

        assert await read_all(pipe) == b"hello world"
        await until(lambda: session.active == link.active == 0)


async def test_the_agent_gets_the_preamble_of_the_client() -> None:
    seen = []

    async def note(request: StreamRequest) -> None:
        seen.append(request.preamble)
        await echo(request)

    async with listening_edge() as edge, edge.session(note) as (session, _):
        pipe = await session.open(PREAMBLE, b"")
        await pipe.close()

    assert seen == [PREAMBLE]


async def test_a_rejection_reaches_the_edge_with_its_code_and_costs_only_that_stream() -> None:
    codes = [Code.ORIGIN_REFUSED, Code.NO_SERVICE]

    async def reject_twice(request: StreamRequest) -> None:
        if codes:
            request.reject(codes.pop())
        else:
            await echo(request)

    async with listening_edge() as edge, edge.session(reject_twice) as (session, _):
        assert await code_of(session.open(PREAMBLE, b"x")) is Code.NO_SERVICE
        assert await code_of(session.open(PREAMBLE, b"x")) is Code.ORIGIN_REFUSED
        pipe = await session.open(PREAMBLE, b"x")
        assert await pipe.read() == b"x"
        await pipe.close()
        await until(lambda: session.active == 0)


async def test_a_bug_of_a_stream_ends_that_stream_and_not_the_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: StreamRequest) -> None:
        if request.preamble.traceparent is None:
            raise ZeroDivisionError
        await echo(request)

    async with listening_edge() as edge, edge.session(broken) as (session, _):
        assert await code_of(session.open(PREAMBLE, b"x")) is Code.INTERNAL
        assert len(edge.policy.sessions) == 1

    assert "a stream failed" in caplog.text


async def test_an_abort_of_the_agent_reaches_the_edge_with_its_code() -> None:
    opened = asyncio.Event()

    async def abort(request: StreamRequest) -> None:
        pipe = await request.accept()
        await opened.wait()
        pipe.abort(Code.ORIGIN_RESET)

    async with listening_edge() as edge, edge.session(abort) as (session, _):
        pipe = await session.open(PREAMBLE, b"x")
        opened.set()
        assert await code_of(read_all(pipe)) is Code.ORIGIN_RESET


async def test_an_abort_of_the_edge_reaches_the_agent_with_its_code() -> None:
    failed: list[Code] = []

    async def note(request: StreamRequest) -> None:
        failed.append(await code_of(read_all(await request.accept())))

    async with listening_edge() as edge, edge.session(note) as (session, _):
        pipe = await session.open(PREAMBLE, b"x")
        pipe.abort(Code.CLIENT_CLOSED)
        await until(lambda: failed)

    assert failed == [Code.CLIENT_CLOSED]


async def test_an_opening_that_is_cancelled_leaves_nothing_behind() -> None:
    async def never(request: StreamRequest) -> None:
        await asyncio.Event().wait()

    async with listening_edge() as edge, edge.session(never) as (session, link):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session.open(PREAMBLE, b"x")
        await until(lambda: session.active == 0)
        link.close(Code.NORMAL)


async def test_a_lost_session_ends_reads_writes_and_openings() -> None:
    async with listening_edge() as edge:
        async with edge.session() as (session, _):
            pipe = await session.open(PREAMBLE, b"")

        assert await code_of(pipe.read()) is Code.SESSION_LOST
        assert await code_of(pipe.write(b"x")) is Code.SESSION_LOST
        assert await code_of(session.open(PREAMBLE, b"")) is Code.SESSION_LOST


async def test_after_go_away_of_the_edge_streams_go_on_and_no_agent_is_let_in() -> None:
    async with listening_edge() as edge, edge.session() as (session, link):
        pipe = await session.open(PREAMBLE, b"x")
        edge.listener.go_away()
        await link.wait_going_away()

        assert await code_of(session.open(PREAMBLE, b"")) is Code.GOING_AWAY
        with pytest.raises(Unavailable) as caught:
            async with edge.link():
                pass
        assert caught.value.code is Code.GOING_AWAY
        await pipe.write(b"y")
        assert await pipe.read() in {b"x", b"xy"}
        await pipe.close()


async def test_after_go_away_of_the_agent_no_stream_is_opened() -> None:
    async with listening_edge() as edge, edge.session() as (session, link):
        link.go_away()
        await until(lambda: session.going_away)

        assert await code_of(session.open(PREAMBLE, b"")) is Code.GOING_AWAY


async def test_a_silent_agent_is_refused_unless_the_caller_allows_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening_edge(SHORT) as edge, edge.session() as (session, link):
        connection = quic_of(link.channel)
        receive = connection.receive
        monkeypatch.setattr(connection, "receive", lambda *_: None)

        assert await code_of(session.open(PREAMBLE, b"", allow_silent=False)) is Code.SESSION_SILENT
        assert is_silent(session)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(session.open(PREAMBLE, b"x"))
            await asyncio.wait([waiting], timeout=SHORT.silence_s * 1.5)
            assert not waiting.done()
            monkeypatch.setattr(connection, "receive", receive)
        assert not is_silent(session)
        assert await waiting.result().read() == b"x"
        await waiting.result().close()


async def test_a_client_waits_no_longer_than_its_time_for_an_agent_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timing = Timing(silence_s=0.05, open_silence_s=0.3)
    async with listening_edge(timing) as edge, edge.session() as (session, link):
        monkeypatch.setattr(link.channel.connection, "receive", lambda *_: None)

        assert await code_of(session.open(PREAMBLE, b"x")) is Code.SESSION_SILENT


@pytest.mark.parametrize("ends", ["agent", "edge"])
async def test_a_peer_that_does_not_answer_is_given_up_soon_while_there_are_streams(
    monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    async def hold(request: StreamRequest) -> None:
        await read_all(await request.accept())

    timing = Timing(probe_s=0.1, dead_s=0.3)
    async with listening_edge(timing) as edge, edge.session(hold) as (session, link):
        pipe = await session.open(PREAMBLE, b"x")
        dead = link.channel.connection if ends == "agent" else session.connection
        monkeypatch.setattr(dead, "receive", lambda *_: None)
        monkeypatch.setattr(dead, "_send", lambda *_: None)

        if ends == "agent":
            assert await code_of(pipe.read()) is Code.SESSION_LOST
            await until(lambda: edge.policy.ended_with)
        else:
            assert await link.wait_closed() is Code.SESSION_LOST


async def test_a_session_without_streams_is_kept_through_a_silence() -> None:
    timing = Timing(probe_s=0.02, dead_s=0.1, agent_keepalive_s=0.02, edge_keepalive_s=0.02)
    async with listening_edge(timing) as edge, edge.session() as (session, link):
        pipe = await session.open(PREAMBLE, b"x")
        assert await pipe.read() == b"x"
        await pipe.close()
        await until(lambda: session.active == link.active == 0)
        connection = quic_of(link.channel)
        receive, count = connection.receive, []
        connection.receive = lambda *_: count.append(1)  # type: ignore[method-assign]
        await until(lambda: len(count) > 5)
        connection.receive = receive  # type: ignore[method-assign]

        pipe = await session.open(PREAMBLE, b"y")
        assert await pipe.read() == b"y"
        await pipe.close()


async def test_writers_wait_while_too_much_of_a_tenant_is_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[bytes] = []

    async def sink(request: StreamRequest) -> None:
        got.append(await read_all(await request.accept()))

    async with listening_edge() as edge:
        edge.policy.send_budget = SendBudget(100_000)
        async with edge.session(sink) as (session, link):
            pipes = [await session.open(PREAMBLE, b"") for _ in range(2)]
            connection = quic_of(link.channel)
            receive = connection.receive
            monkeypatch.setattr(connection, "receive", lambda *_: None)
            async with asyncio.TaskGroup() as tasks:
                for pipe in pipes:
                    tasks.create_task(pour(pipe, 200_000))
                held = await quiet(lambda: edge.policy.send_budget.held)
                monkeypatch.setattr(link.channel.connection, "receive", receive)
            await until(lambda: len(got) == 2)

        assert 100_000 - WAKE_BYTES < held <= 100_000
        assert [len(data) for data in got] == [200_000, 200_000]
        await until(lambda: edge.policy.send_budget.held == 0)


def is_silent(session: Session) -> bool:
    return session.is_silent


async def pour(pipe: Pipe, size: int) -> str:
    """Write `size` bytes and the end; their SHA-256."""
    digest = hashlib.sha256()
    for start in range(0, size, len(CHUNK)):
        piece = CHUNK[: size - start]
        digest.update(piece)
        await pipe.write(piece)
    await pipe.write_eof()
    return digest.hexdigest()


async def quiet(counter: object, seconds: float = 0.5) -> int:
    """Wait until a counter stands still; its value."""
    loop = asyncio.get_running_loop()
    value, since = counter(), loop.time()  # type: ignore[operator]
    while loop.time() - since < seconds:
        if (now := counter()) != value:  # type: ignore[operator]
            value, since = now, loop.time()
        await asyncio.sleep(0.02)
    return int(value)


@pytest.mark.parametrize("to_agent", [True, False])
async def test_a_reader_that_sleeps_holds_its_sender_at_the_window_and_loses_nothing(
    to_agent: bool,
) -> None:
    awake, size = asyncio.Event(), 5 * MIB
    agents: list[Pipe] = []

    async def take(request: StreamRequest) -> None:
        agents.append(await request.accept())
        await awake.wait()

    async with listening_edge() as edge, edge.session(take) as (session, _):
        at_edge = await session.open(PREAMBLE, b"")
        ends = (at_edge, agents[0])
        sender, reader = ends if to_agent else reversed(ends)
        async with asyncio.TaskGroup() as tasks:
            sent = tasks.create_task(pour(sender, size))
            held = await quiet(lambda: sender.send_side.sent_bytes)  # type: ignore[attr-defined]
            received = hashlib.sha256()
            while data := await reader.read():
                received.update(data)
        awake.set()

    assert 0 < held <= MAX_STREAM_WINDOW_BYTES // 16
    assert received.hexdigest() == sent.result()


async def one_of_many(session: Session, seed: int) -> str:
    rng = random.Random(seed)
    size = rng.randrange(1, 20_000)
    mine = rng.randbytes(size)
    pipe = await session.open(PREAMBLE, mine[:1000])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(finish(pipe, mine[1000:]))
        if rng.random() < 0.3:
            await pipe.read(rng.randrange(1, 500))
            pipe.abort(Code.CANCELLED)
            return "aborted"
        seen = await read_all(pipe)
    return "ok" if seen == mine else "lost"


async def finish(pipe: Pipe, data: bytes) -> None:
    try:
        await pipe.write(data)
        await pipe.write_eof()
    except TowonelError as error:
        assert error.code is Code.CANCELLED


async def test_two_hundred_streams_with_random_endings_lose_nothing_and_restore_all_credit() -> (
    None
):
    async with listening_edge() as edge, edge.session() as (session, link):
        async with asyncio.TaskGroup() as tasks:
            all_ = [tasks.create_task(one_of_many(session, seed)) for seed in range(200)]
        await until(lambda: session.active == link.active == 0)

        assert {task.result() for task in all_} == {"ok", "aborted"}
        for budget in (session.channel._credit, link.channel._credit):
            assert budget._receive.unread == 0
            assert budget.available > SESSION_WINDOW_BYTES // 2 - 1
