"""The bell that rings when routes change, in this process and, with Redis, in every replica.

It carries a revision and nothing else: who hears it asks the database. A lost ring costs time, never
truth.
"""

# redis-py's types leave its responses open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from random import SystemRandom
from typing import override

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from towonel.runtime.backoff import Backoff

CHANNEL = "towonel:routes"
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Bell:
    """Tells waiters that the routes have a new revision."""

    def __init__(self) -> None:
        self.revision = 0
        self._rung = asyncio.Event()
        self._closed = False
        self.waiting = 0

    async def ring(self, revision: int) -> None:
        """Wake every waiter of an older revision."""
        self.heard(revision)

    def heard(self, revision: int) -> None:
        """Take a ring, from wherever."""
        if revision > self.revision:
            self.revision = revision
            self._wake()

    async def wait(self, since: int, timeout_s: float) -> None:
        """Return when a revision after `since` was rung, the time is over, or the hub stops."""
        self.waiting += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while self.revision <= since and not self._closed:
                        await self._rung.wait()
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Let every waiter go, now and later."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()


class RedisBell(Bell):
    """The same over Redis: rings reach edges and replicas; what they ring is heard here."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis
        self.connected = False

    @override
    async def ring(self, revision: int) -> None:
        """Wake waiters here, and everybody who listens on Redis."""
        self.heard(revision)
        try:
            async with asyncio.timeout(2):
                await self._redis.publish(CHANNEL, str(revision))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("bell.not_rung", revision=revision, reason=type(error).__name__)

    async def listen(self) -> None:
        """Hear what other replicas ring, for ever, whatever happens to Redis."""
        backoff, rng = Backoff(0.5, 30), SystemRandom()
        while True:
            try:
                await self._subscribed(backoff)
            except (RedisError, OSError) as error:
                log.warning("bell.lost", reason=type(error).__name__)
            self.connected = False
            await asyncio.sleep(backoff.next_delay(rng))

    async def _subscribed(self, backoff: Backoff) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            self.connected = True
            backoff.healthy(0)
            async for message in channel.listen():
                if message["type"] == "message" and message["data"].isdigit():
                    self.heard(int(message["data"]))


@contextlib.asynccontextmanager
async def bell(redis_url: str | None) -> AsyncGenerator[Bell]:
    """Provide the bell, over Redis where there is a URL."""
    if redis_url is None:
        yield Bell()
        return
    async with (
        Redis.from_url(redis_url, socket_connect_timeout=5, health_check_interval=15) as redis,
        asyncio.TaskGroup() as tasks,
    ):
        ringing = RedisBell(redis)
        listening = tasks.create_task(ringing.listen())
        try:
            yield ringing
        finally:
            listening.cancel()
