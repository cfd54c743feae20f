"""The bell that rings when routes change, in this process and, with Redis, in every replica.

It carries a revision and nothing else: who hears it asks the database. A lost ring costs time, never
truth; what Redis says is a rumour, which the database confirms before anybody is woken.
"""

# redis-py's types leave its responses open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from random import SystemRandom
from typing import override

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from towonel.hub.store.db.transactions import Write
from towonel.runtime.backoff import Backoff

CHANNEL = "towonel:routes"
PUBLISH_TIMEOUT_S = 0.5  # a write waits no longer; replicas look for themselves every 2 s
QUIET_S = 2.0  # then Redis is asked whether it is still there; twice as long, and it is not
MAX_CONNECTIONS = 32  # to Redis; a request holds one for less than a millisecond
MAX_DIGITS = 19  # of a 64-bit revision
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RouteChanges:
    """Tells waiters that the routes have a new revision."""

    def __init__(self) -> None:
        self.revision = 0
        self.waiting = 0
        self.connected = False
        self._rung = asyncio.Event()
        self._audited = asyncio.Event()
        self._rumoured = asyncio.Event()
        self._closed = False

    async def committed(self, change: Write) -> None:
        """Tell of a write that was kept."""
        if change.audited:
            self._audited.set()
            self._audited = asyncio.Event()
        if change.revision is not None:
            await self.publish(change.revision)

    async def publish(self, revision: int) -> None:
        """Wake every waiter of an older revision."""
        self.set_revision(revision)

    def next_write(self) -> asyncio.Event:
        """Return what is set when this process writes to the audit log next, or the hub stops."""
        return self._audited

    def set_revision(self, revision: int) -> None:
        """Take a revision that is known to be true."""
        if revision > self.revision:
            self.revision = revision
            self.request_refresh()
            self._wake()

    async def wait_for(self, since: int, timeout_s: float) -> None:
        """Return when a revision after `since` was rung, the time is over, or the hub stops."""
        self.waiting += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while self.revision <= since and not self._closed:
                        await self._rung.wait()
        finally:
            self.waiting -= 1

    async def refresh_requested(self) -> None:
        """Return when there is a newer revision, or somebody claims it: ask the database."""
        await self._rumoured.wait()
        self._rumoured.clear()

    def request_refresh(self) -> None:
        """Have the database asked whether something changed."""
        self._rumoured.set()

    def close(self) -> None:
        """Let every waiter go, now and later."""
        self._closed = True
        self._audited.set()
        self._wake()

    @property
    def is_disconnected(self) -> bool:
        """Whether there should be a Redis, and is none now."""
        return False

    @property
    def closed(self) -> bool:
        """Whether the hub stops."""
        return self._closed

    def _wake(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()


class RedisRouteChanges(RouteChanges):
    """The same over Redis: rings reach edges and replicas; what they ring is a rumour here."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis

    @property
    @override
    def is_disconnected(self) -> bool:
        return not self.connected

    @override
    async def publish(self, revision: int) -> None:
        """Wake waiters here, and everybody who listens on Redis."""
        self.set_revision(revision)
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._redis.publish(CHANNEL, str(revision))
        except (RedisError, OSError) as error:
            log.warning("bell.not_rung", revision=revision, reason=type(error).__name__)

    async def listen(self) -> None:
        """Hear what other replicas ring, for ever, whatever happens to Redis."""
        backoff, rng = Backoff(0.2, 5), SystemRandom()
        while True:
            try:
                await self._subscribed(backoff)
            except (RedisError, OSError) as error:
                # The error's text may show the URL, and the URL may hold a password.
                log.warning("bell.lost", reason=type(error).__name__)
            finally:
                self.connected = False
            await asyncio.sleep(backoff.next_delay(rng))

    async def _subscribed(self, backoff: Backoff) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            is_asked = False
            while True:
                message = await channel.get_message(timeout=QUIET_S)
                if message is None:
                    if is_asked:  # it hangs, or the network lost it without a word
                        raise TimeoutError("says nothing")
                    await channel.ping()
                is_asked = message is None
                match message:
                    case {"type": "subscribe"}:
                        self.connected = True
                        backoff.record_success(0)
                        self.request_refresh()  # something may have been rung while nobody listened
                    case {"type": "message", "data": data} if self._is_news(data):
                        self.request_refresh()
                    case _:
                        pass

    def _is_news(self, data: bytes) -> bool:
        # Anybody in Redis can write this: a number of thousands of digits must not be read.
        return len(data) <= MAX_DIGITS and data.isdigit() and int(data) > self.revision


@contextlib.asynccontextmanager
async def redis_client(redis_url: str | None) -> AsyncGenerator[Redis | None]:
    """Provide the connection to Redis, where there is a URL; it is made when it is used."""
    if redis_url is None:
        yield None
        return
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=MAX_CONNECTIONS,
        timeout=PUBLISH_TIMEOUT_S,
        socket_connect_timeout=5,
        socket_timeout=5,
    )
    async with Redis.from_pool(pool) as redis:
        yield redis


@contextlib.asynccontextmanager
async def make_route_changes(redis: Redis | None) -> AsyncGenerator[RouteChanges]:
    """Provide the bell, over Redis where there is one."""
    if redis is None:
        yield RouteChanges()
        return
    async with asyncio.TaskGroup() as tasks:
        ringing = RedisRouteChanges(redis)
        listening = tasks.create_task(ringing.listen())
        try:
            yield ringing
        finally:
            listening.cancel()
