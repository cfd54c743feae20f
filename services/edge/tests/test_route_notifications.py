"""Notifications from a real Redis, also one that goes away and comes back."""

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from support.ports import free_port
from support.redis_server import running_redis

from towonel.edge.metrics import Metrics
from towonel.edge.route_notifications import RedisNotifications
from towonel.runtime.admin import Health
from towonel.wire.routes import CHANGES_CHANNEL


@contextlib.asynccontextmanager
async def listening(url: str, health: Health | None = None) -> AsyncGenerator[RedisNotifications]:
    notifications = RedisNotifications(health or Health(), Metrics(CollectorRegistry()))
    async with asyncio.timeout(25), asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(notifications.listen(url, Random(1)))
        yield notifications
        listener.cancel()


async def until(notifications: RedisNotifications, *, is_listening: bool) -> None:
    while notifications.is_listening is not is_listening:
        await notifications.wait(5)


async def test_a_message_ends_a_wait_and_silence_ends_with_the_time(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, listening(url) as notifications:
        await until(notifications, is_listening=True)
        await notifications.wait(0)
        async with Redis.from_url(url) as redis, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(notifications.wait(20))
            assert await redis.publish(CHANGES_CHANNEL, "not even a number") == 1
        loop = asyncio.get_running_loop()
        notified_at = loop.time()
        await notifications.wait(0.05)

    assert waiting.done()
    assert loop.time() > notified_at


async def test_a_redis_that_goes_away_ends_a_wait_and_is_listened_to_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    port, health = free_port(), Health()
    async with running_redis(tmp_path, port) as url:
        running = contextlib.AsyncExitStack()
        notifications = await running.enter_async_context(listening(url, health))
        await until(notifications, is_listening=True)
        assert health.reasons == {}
    async with running:
        await until(notifications, is_listening=False)
        while not (told := health.reasons.get("redis", "")):
            await asyncio.sleep(0.01)
        async with running_redis(tmp_path, port):
            await until(notifications, is_listening=True)

    assert not notifications.is_listening
    # As the system tells the end, or already the next try.
    ways = {"closed the connection", os.strerror(errno.ECONNRESET), os.strerror(errno.ECONNREFUSED)}
    assert told in {f"127.0.0.1:{port}: {way}; the hub is polled" for way in ways}
