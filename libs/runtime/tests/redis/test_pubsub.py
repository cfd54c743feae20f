"""A subscription on a real Redis, which dies, hangs, comes back, or refuses a password."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import override

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from support.ports import free_port
from support.redis_server import flood, redis_server, running_redis

from towonel.runtime.backoff import Backoff
from towonel.runtime.redis.pubsub import BATCH, PAUSE_S, Subscription
from towonel.runtime.redis.replies import MAX_REPLY_BYTES, limit_replies


class RecordedBackoff(Backoff):
    """A backoff that keeps what it gave."""

    def __init__(self, first_s: float, max_s: float, reset_after_s: float) -> None:
        super().__init__(first_s, max_s, reset_after_s)
        self.given: list[float] = []

    @override
    def next_delay(self, rng: Random) -> float:
        self.given.append(super().next_delay(rng))
        return self.given[-1]


class Receiver:
    """A subscription that runs, and what it was told."""

    def __init__(self, redis: Redis, backoff: Backoff) -> None:
        self.refused: list[bool] = []
        refuse = partial(self.refused.append, True)
        self.subscription = Subscription(redis, "news", 0.1, backoff, refuse)
        self.messages: list[bytes] = []
        self.connections: list[bool] = []

    async def run(self) -> None:
        await self.subscription.run(self.messages.append, self.note, Random(1))

    def note(self) -> None:
        self.connections.append(self.subscription.is_connected)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.01)

    async def change_by(self, cause: Awaitable[object]) -> None:
        """Wait until a connection ends or is made after this, which may be faster than anybody looks."""
        reported = len(self.connections)
        await cause
        await self.until(lambda: len(self.connections) > reported)


@contextlib.asynccontextmanager
async def receiving(url: str, backoff: Backoff | None = None) -> AsyncGenerator[Receiver]:
    async with Redis.from_url(url) as redis, asyncio.TaskGroup() as tasks:
        limit_replies(redis.connection_pool)
        receiver = Receiver(redis, backoff or Backoff(0.01, 0.05))
        running = tasks.create_task(receiver.run())
        yield receiver
        running.cancel()


async def publish(url: str, *messages: str | bytes) -> None:
    async with Redis.from_url(url) as redis:
        for message in messages:
            await redis.publish("news", message)


async def test_messages_arrive_in_order_until_the_end(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, receiving(url) as receiver:
        await receiver.until(lambda: receiver.subscription.is_connected)
        await publish(url, "one", "two")
        await receiver.until(lambda: len(receiver.messages) == 2)

    assert receiver.messages == [b"one", b"two"]
    assert receiver.connections == [True, False]


async def test_a_message_that_is_no_text_where_the_url_asks_for_it_ends_nothing(
    tmp_path: Path,
) -> None:
    async with (
        running_redis(tmp_path) as url,
        receiving(f"{url}?decode_responses=true") as receiver,
    ):
        await receiver.until(lambda: receiver.subscription.is_connected)
        await publish(url, b"\xff\xfe")
        await receiver.until(lambda: receiver.connections == [True, False, True])
        await publish(url, "one")
        await receiver.until(lambda: receiver.messages == [b"one"])


async def test_messages_are_bytes_also_where_the_url_asks_for_text(tmp_path: Path) -> None:
    async with (
        running_redis(tmp_path) as url,
        receiving(f"{url}?decode_responses=true") as receiver,
    ):
        await receiver.until(lambda: receiver.subscription.is_connected)
        await publish(url, "one")
        await receiver.until(lambda: receiver.messages != [])

    assert receiver.messages == [b"one"]


async def test_a_flood_of_messages_is_received_slowly_and_delays_nothing_else(
    tmp_path: Path,
) -> None:
    async with redis_server(tmp_path) as server, receiving(server.url) as receiver:
        await receiver.until(lambda: receiver.subscription.is_connected)
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with flood(server.port, "news"):
            await receiver.until(lambda: len(receiver.messages) >= 4 * BATCH)
        lasted_s = loop.time() - started

    assert len(receiver.messages) <= BATCH * (lasted_s / PAUSE_S + 2)


@pytest.mark.parametrize("query", ["", "?protocol=2", "?decode_responses=true"])
async def test_a_message_that_is_too_large_is_refused_and_later_ones_arrive(
    tmp_path: Path, query: str
) -> None:
    with capture_logs() as logs:
        async with running_redis(tmp_path) as url, receiving(url + query) as receiver:
            await receiver.until(lambda: receiver.subscription.is_connected)
            await publish(url, b"x" * MAX_REPLY_BYTES)
            await receiver.until(lambda: receiver.connections == [True, False, True])
            await publish(url, b"x" * 1000)
            await receiver.until(lambda: receiver.messages != [])

    assert receiver.messages == [b"x" * 1000]
    assert receiver.refused == [True]
    assert [log["channel"] for log in logs if log["event"] == "redis.message_refused"] == ["news"]


async def test_who_sends_what_is_too_large_again_and_again_is_listened_to_less_often(
    tmp_path: Path,
) -> None:
    delays = RecordedBackoff(0.001, 0.02, 60)
    async with running_redis(tmp_path) as url, receiving(url, delays) as receiver:
        while len(receiver.refused) < 8:
            await receiver.until(lambda: receiver.subscription.is_connected)
            await receiver.change_by(publish(url, b"x" * MAX_REPLY_BYTES))

    assert min(delays.given[5:]) >= 0.01


async def test_a_quiet_redis_is_pinged_and_stays_connected(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, receiving(url) as receiver:
        await receiver.until(lambda: receiver.subscription.is_connected)
        async with Redis.from_url(url) as redis:
            pinged = 0
            while pinged < 3:
                pinged = (await redis.info("commandstats")).get("cmdstat_ping", {}).get("calls", 0)
                await asyncio.sleep(0.02)

        assert receiver.connections == [True]


async def test_a_redis_that_hangs_is_noticed_and_found_again(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as server, receiving(server.url) as receiver:
        await receiver.until(lambda: receiver.subscription.is_connected)
        server.process.send_signal(signal.SIGSTOP)
        await receiver.until(lambda: not receiver.subscription.is_connected)
        server.process.send_signal(signal.SIGCONT)
        await receiver.until(lambda: receiver.subscription.is_connected)
        await publish(server.url, "again")
        await receiver.until(lambda: b"again" in receiver.messages)

        assert receiver.connections == [True, False, True]


async def test_a_receiver_is_told_of_each_connection_of_one_that_was_killed(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as server, receiving(server.url) as receiver:
        await receiver.until(lambda: receiver.subscription.is_connected)
        reported = len(receiver.connections)
        server.process.kill()
        await server.restart()
        await receiver.until(lambda: len(receiver.connections) > reported)
        await receiver.until(lambda: receiver.connections[-1])
        await publish(server.url, "again")
        await receiver.until(lambda: receiver.messages == [b"again"])


async def test_the_log_never_shows_the_password(tmp_path: Path) -> None:
    port, delays = free_port(), RecordedBackoff(0.001, 0.002, 60)
    with capture_logs() as logs:
        async with receiving(f"redis://:hunter2@127.0.0.1:{port}/0", delays) as receiver:
            await receiver.until(lambda: len(delays.given) > 3)

    assert [entry["event"] for entry in logs] == ["redis.disconnected"]  # once, however often
    assert (logs[0]["address"], logs[0]["reason"]) == (f"127.0.0.1:{port}", "Connection refused")
    assert "hunter2" not in str(logs)
    assert receiver.connections == [False]


async def test_a_redis_that_comes_back_and_refuses_the_password_is_told_once_as_that(
    tmp_path: Path,
) -> None:
    port, delays = free_port(), RecordedBackoff(0.001, 0.01, 60)
    with capture_logs() as logs:
        async with receiving(f"redis://:hunter2@127.0.0.1:{port}/0", delays) as receiver:
            await receiver.until(lambda: receiver.connections == [False])
            async with redis_server(tmp_path, port, "--requirepass", "another"):
                await receiver.until(lambda: receiver.connections[1:] == [False])
                tried = len(delays.given)
                await receiver.until(lambda: len(delays.given) > tried + 3)
                is_refusal = receiver.subscription.failure

    assert is_refusal is not None
    reasons = [entry["reason"] for entry in logs if entry["event"] == "redis.disconnected"]
    assert reasons[:2] == ["Connection refused", is_refusal.reason]
    assert "TOWONEL_REDIS_URL" in is_refusal.reason
    assert "hunter2" not in str(logs)
