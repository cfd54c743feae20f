"""Sockets as pipes, and what a relay does between two of them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator

import pytest

from towonel.tunnel.byte_counter import ByteCounter
from towonel.tunnel.relay import Transfer, relay
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


async def test_a_writer_waits_for_its_reader() -> None:
    async with connected() as (one, other), asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(one.write(bytes(32 * MIB)))
        await asyncio.wait([writing], timeout=0.2)
        assert not writing.done()
        left = 32 * MIB
        while left:
            left -= len(await other.read())


async def test_whoever_waits_is_woken_by_an_abort() -> None:
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


@contextlib.asynccontextmanager
async def relayed() -> AsyncGenerator[tuple[SocketPipe, SocketPipe, asyncio.Task[Transfer]]]:
    """A client, an origin and a relay between them."""
    async with (
        connected() as (client, a),
        connected() as (b, origin),
        asyncio.TaskGroup() as tasks,
    ):
        yield client, origin, tasks.create_task(relay(a, b))


async def test_a_relay_carries_both_ways_and_counts_what_it_carried() -> None:
    async with asyncio.timeout(20), relayed() as (client, origin, task):
        await client.write(b"hello")
        await client.write_eof()
        assert await read_all(origin) == b"hello"
        await origin.write(b"good bye")
        await origin.write_eof()
        assert await read_all(client) == b"good bye"

    transfer = task.result()
    assert (transfer.a_to_b, transfer.b_to_a, transfer.code) == (5, 8, Code.NORMAL)


async def test_meters_show_what_is_carried_while_it_is_and_add_up_over_relays() -> None:
    forth, back = ByteCounter(), ByteCounter()
    for total in (8, 16):
        async with (
            asyncio.timeout(20),
            connected() as (client, a),
            connected() as (b, origin),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay(a, b, (forth, back)))
            await client.write(b"question")
            await origin.read()
            await origin.write(b"?")
            await client.read()
            assert (forth.count, back.count) == (total, total // 8)
            await client.write_eof()
            await origin.write_eof()

    assert (forth.count, back.count) == (16, 2)


async def test_a_reset_of_one_side_takes_the_other_down() -> None:
    async with asyncio.timeout(20), relayed() as (client, origin, task):
        await client.write(b"hello")
        assert await origin.read() == b"hello"
        origin.abort(Code.ORIGIN_RESET)

        assert await outcome(read_all(client)) is not None

    assert task.result().code is not Code.NORMAL


async def test_a_relay_that_is_cancelled_ends_both_sides() -> None:
    async with connected() as (client, a), connected() as (b, origin):
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(relay(a, b))
            await client.write(b"hello")
            await origin.read()
            task.cancel()

        assert await outcome(read_all(client)) is not None
        assert await outcome(read_all(origin)) is not None
