"""Budget of what a tenant's agents sent and its clients have not taken, over real sessions."""

import asyncio
from contextlib import AsyncExitStack

from support.tunnel import PREAMBLE, ListeningEdge, listening_edge, quic_of, until

from towonel.tunnel.core.bounds.receive_budget import MIN_SESSION_BYTES, ReceiveBudget
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.tunnel.stream_requests import StreamRequest

MIB = 1024 * 1024
BUDGET, SESSIONS, STREAMS = 2 * MIB, 3, 10
ANSWER = bytes(range(250)) * 1100  # more than the first window of a stream


async def answer(request: StreamRequest) -> None:
    pipe = await request.accept()
    await pipe.write(ANSWER)
    await pipe.write_eof()


async def read_all(pipe: Pipe) -> bytes:
    data = bytearray()
    while more := await pipe.read():
        data += more
    return bytes(data)


async def ask(session: Session) -> Pipe:
    return await session.open(PREAMBLE, b"")


async def read_when_open(opening: asyncio.Task[Pipe]) -> bytes:
    return await read_all(await opening)


async def stand_still(edge: ListeningEdge, sessions: list[Session]) -> int:
    """Wait until nothing more comes though agents have more; the bytes that are held."""
    budget = edge.policy.receive_budget
    shares = {session.connection.receive_share for session in sessions}
    await until(lambda: budget.stalled >= shares)
    held = -1
    while held != budget.held:
        held = budget.held
        for session in sessions:
            session.connection.ping()
        await until(lambda: not any(session.connection.unanswered_s for session in sessions))
    return held


async def test_agents_of_a_tenant_wait_while_its_clients_do_not_read_and_nothing_is_lost() -> None:
    async with AsyncExitStack() as exits:
        edge = await exits.enter_async_context(listening_edge())
        edge.policy.receive_budget = budget = ReceiveBudget(BUDGET)
        sessions = [
            (await exits.enter_async_context(edge.session(answer)))[0] for _ in range(SESSIONS)
        ]
        opening = [
            asyncio.create_task(ask(session)) for session in sessions for _ in range(STREAMS)
        ]
        held = await stand_still(edge, sessions)

        async with asyncio.timeout(20), edge.session(answer) as (honest, _):
            assert await read_all(await ask(honest)) == ANSWER
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*map(read_when_open, opening))
        await until(lambda: budget.held == 0)

    assert answers == [ANSWER] * SESSIONS * STREAMS
    assert BUDGET <= held <= BUDGET + SESSIONS * MIN_SESSION_BYTES


async def test_an_agent_hears_at_once_that_its_session_has_room_again() -> None:
    async with listening_edge() as edge, edge.session(answer) as (session, _):
        connection = quic_of(session.channel)
        await until(lambda: connection._transmission is None)
        connection.receive_share.wait()
        edge.policy.receive_budget.wake()

        assert connection._transmission is not None


async def test_control_messages_arrive_while_no_client_reads() -> None:
    async with AsyncExitStack() as exits:
        edge = await exits.enter_async_context(listening_edge())
        edge.policy.receive_budget = ReceiveBudget(0)
        session, link = await exits.enter_async_context(edge.session(answer))
        opening = [asyncio.create_task(ask(session)) for _ in range(STREAMS)]
        await stand_still(edge, [session])
        unknown = b"\0\0\x40\x06\x82\x18\x63\x59\x40\x00" + bytes(0x4000)  # [99, bytes]
        for _ in range(10):
            link.channel.connection.send(1, unknown)
        link.go_away()

        await until(lambda: session.going_away)
        answers = await asyncio.gather(*map(read_when_open, opening))

    assert answers == [ANSWER] * STREAMS
