"""Replies of a Redis that nobody should believe: too long, nested too deep, or no replies at all."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import InvalidResponse, RedisError
from support.redis_server import running_redis

from towonel.runtime.redis.replies import MAX_REPLY_BYTES, ReplyTooLargeError, limit_replies

PROTOCOLS = [2, 3]
LONGEST = 10 * MAX_REPLY_BYTES


@contextlib.asynccontextmanager
async def limited(url: str, protocol: int) -> AsyncGenerator[Redis]:
    async with Redis.from_url(url, protocol=protocol, retry=None, socket_timeout=5) as redis:
        limit_replies(redis.connection_pool)
        yield redis


@contextlib.asynccontextmanager
async def answering(reply: bytes) -> AsyncGenerator[str]:
    """A server that gives one answer to whatever comes, and ends; yields its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_reply_is_as_long_as_the_limit_and_no_longer(tmp_path: Path, protocol: int) -> None:
    framing = len(f"${MAX_REPLY_BYTES}\r\n")
    async with running_redis(tmp_path) as url, limited(url, protocol) as redis:
        for size in (MAX_REPLY_BYTES - framing, MAX_REPLY_BYTES - framing + 1):
            await redis.set(f"k{size}", b"x" * size)
        longest = await redis.get(f"k{MAX_REPLY_BYTES - framing}")
        with pytest.raises(ReplyTooLargeError):
            await redis.get(f"k{MAX_REPLY_BYTES - framing + 1}")
        again = await redis.ping()

    assert len(longest or b"") == MAX_REPLY_BYTES - framing
    assert again


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "reply",
    [
        b"$%d\r\n" % LONGEST,
        b"*%d\r\n" % LONGEST + b":1\r\n" * LONGEST,
        b"*1\r\n" * LONGEST,
        b"$-7\r\n",
        b"+" + b"x" * LONGEST,
        b"*x\r\n",
        b":" + b"9" * 5000 + b"\r\n",
        b"?\r\n",
    ],
)
async def test_what_is_no_reply_is_an_error_of_redis(reply: bytes, protocol: int) -> None:
    async with answering(reply) as url, limited(url, protocol) as redis:
        with pytest.raises(RedisError):
            await redis.ping()


async def test_a_reply_that_is_announced_as_endless_is_not_waited_for() -> None:
    async with answering(b"$%d\r\n" % LONGEST + bytes(100)) as url, limited(url, 2) as redis:
        with pytest.raises(InvalidResponse):
            await redis.get("k")
