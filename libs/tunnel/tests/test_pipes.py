"""Sockets as pipes, and the relay between two pipes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest

from towonel.tunnel.relay import relay
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.errors import Code, TowonelError

MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def connected() -> AsyncGenerator[tuple[SocketPipe, SocketPipe]]:
    """Two ends of a loopback TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for end in (ours, theirs):
        end.setblocking(False)
    one, other = SocketPipe(ours), SocketPipe(theirs)
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()


async def read_all(pipe: SocketPipe) -> bytes:
    data = bytearray()
    while more := await pipe.read():
        data += more
    return bytes(data)


async def test_each_direction_ends_on_its_own() -> None:
    async with connected() as (one, other):
        await one.write(b"question")
        await one.write_eof()
        await one.write_eof()

        assert await read_all(other) == b"question"
        await other.write(b"answer")
        await other.write_eof()
        assert await read_all(one) == b"answer"


async def test_an_abort_is_a_reset_and_comes_once() -> None:
    async with connected() as (one, other):
        one.abort(Code.CANCELLED)
        one.abort(Code.INTERNAL)

        with pytest.raises(TowonelError):
            await read_all(other)
        with pytest.raises(TowonelError) as caught:
            await one.read()
        assert caught.value.code is Code.CANCELLED


async def test_a_reset_that_a_writer_met_is_no_end_to_the_reader() -> None:
    async with connected() as (one, other):
        await other.write(b"half an answer")
        other.abort(Code.CANCELLED)

        with pytest.raises(TowonelError) as caught:
            await one.write(b"question")
        assert caught.value.code is Code.CLIENT_CLOSED
        with pytest.raises(TowonelError) as caught:
            await read_all(one)
        assert caught.value.code is Code.CLIENT_CLOSED


async def test_an_end_before_a_reset_is_an_end_although_a_writer_met_the_reset() -> None:
    async with connected() as (one, other):
        await other.write(b"the whole answer")
        await other.write_eof()
        other.abort(Code.CANCELLED)

        with pytest.raises(TowonelError):
            await one.write(b"question")
        assert await read_all(one) == b"the whole answer"


async def test_a_writer_waits_for_its_reader() -> None:
    async with connected() as (one, other), asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(one.write(bytes(32 * MIB)))
        await asyncio.wait([writing], timeout=0.2)
        assert not writing.done()
        left = 32 * MIB
        while left:
            left -= len(await other.read())


async def test_an_abort_wakes_a_waiting_read() -> None:
    async with connected() as (one, _):
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(outcome(one.read()))
            await asyncio.wait([reading], timeout=0.05)
            one.abort(Code.TENANT_REVOKED)

        assert reading.result() is Code.TENANT_REVOKED


async def outcome(waiting: object) -> Code | None:
    try:
        await waiting  # type: ignore[misc]
    except TowonelError as error:
        return error.code
    return None


@dataclass
class Relay:
    """A client, an origin and a relay between them, which counts the chunks that it carried."""

    client: SocketPipe
    origin: SocketPipe
    to_origin: list[int] = field(default_factory=list)
    to_client: list[int] = field(default_factory=list)
    code: Code | None = None


@contextlib.asynccontextmanager
async def relayed() -> AsyncGenerator[Relay]:
    async with connected() as (client, a), connected() as (b, origin), asyncio.timeout(20):
        run = Relay(client, origin)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(relay(a, b, run.to_origin.append, run.to_client.append))
            yield run
        run.code = task.result()


async def test_a_relay_carries_both_ways_to_the_end_of_each() -> None:
    async with relayed() as run:
        await run.client.write(b"hello")
        await run.client.write_eof()
        assert await read_all(run.origin) == b"hello"
        await run.origin.write(b"good bye")
        await run.origin.write_eof()
        assert await read_all(run.client) == b"good bye"

    assert (sum(run.to_origin), sum(run.to_client), run.code) == (5, 8, Code.NORMAL)


async def test_a_relay_counts_each_chunk_once_it_is_handed_over() -> None:
    async with relayed() as run:
        for chunks in (1, 2):
            await run.client.write(b"question")
            await run.origin.read()
            await run.origin.write(b"?")
            await run.client.read()
            assert (run.to_origin, run.to_client) == ([8] * chunks, [1] * chunks)
        await run.client.write_eof()
        await run.origin.write_eof()

    assert (run.to_origin, run.to_client) == ([8, 8], [1, 1])


async def test_a_reset_of_one_side_takes_the_other_down() -> None:
    async with relayed() as run:
        await run.client.write(b"hello")
        assert await run.origin.read() == b"hello"
        run.origin.abort(Code.ORIGIN_RESET)

        assert await outcome(read_all(run.client)) is not None

    assert run.code is Code.CLIENT_CLOSED


def ignore(_count: int) -> None:
    return


async def test_a_relay_that_is_cancelled_ends_both_sides() -> None:
    async with connected() as (client, a), connected() as (b, origin):
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(relay(a, b, ignore, ignore))
            await client.write(b"hello")
            await origin.read()
            task.cancel()

        assert await outcome(read_all(client)) is not None
        assert await outcome(read_all(origin)) is not None


@pytest.mark.parametrize("orderly", [False, True])
async def test_only_an_orderly_close_is_an_end_to_the_far_side(orderly: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    pipe = SocketPipe(near)
    with far:
        if orderly:
            await pipe.close()
            assert far.recv(1) == b""
        else:
            near.close()  # as the kernel does where the process is killed
            with pytest.raises(ConnectionResetError):
                far.recv(1)
