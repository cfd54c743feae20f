"""The doorbell on a real Redis, also one that goes away and comes back."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

from redis.asyncio import Redis
from support.ports import free_port
from support.redis_server import running_redis

from towonel.edge.route_notifications import CHANNEL, RedisNotifications


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncGenerator[RedisNotifications]:
    doorbell = RedisNotifications()
    async with asyncio.timeout(25), asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(doorbell.listen(url, Random(1)))
        yield doorbell
        listener.cancel()


async def heard(doorbell: RedisNotifications, *, is_listening: bool) -> None:
    while doorbell.is_listening is not is_listening:
        await doorbell.wait(5)


async def test_a_ring_wakes_whoever_waits_and_silence_ends_with_the_time(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, listening(url) as doorbell:
        await heard(doorbell, is_listening=True)
        await doorbell.wait(0)
        async with Redis.from_url(url) as redis, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(doorbell.wait(20))
            assert await redis.publish(CHANNEL, "not even a number") == 1
        loop = asyncio.get_running_loop()
        rung_at = loop.time()
        await doorbell.wait(0.05)

    assert waiting.done()
    assert loop.time() > rung_at


async def test_a_redis_that_goes_away_rings_and_is_listened_to_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with running_redis(tmp_path, port) as url:
        running = contextlib.AsyncExitStack()
        doorbell = await running.enter_async_context(listening(url))
        await heard(doorbell, is_listening=True)
    async with running:
        await heard(doorbell, is_listening=False)
        async with running_redis(tmp_path, port):
            await heard(doorbell, is_listening=True)

    assert not doorbell.is_listening
