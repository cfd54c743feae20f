"""Watch on the revision of the routes, in this process and, with Redis, in every replica.

Redis carries a revision and nothing else: a receiver asks the database. A message that is lost costs
time, never truth, and a revision that Redis claims wakes no caller before the database confirms it.
"""

# redis-py's types leave its responses open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import SystemRandom
from typing import override

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.store.db.transactions import Write
from towonel.hub.timing import Timing
from towonel.runtime.backoff import Backoff
from towonel.runtime.redis.failures import describe_failure
from towonel.runtime.redis.pubsub import HEALTHY_S, Subscription
from towonel.runtime.redis.replies import limit_replies
from towonel.wire.routes import CHANGES_CHANNEL

PUBLISH_TIMEOUT_S = 0.5  # a write waits no longer; replicas look for themselves every 2 s
MAX_CONNECTIONS = 32  # to Redis; a request holds one for less than a millisecond
MAX_DIGITS = 19  # of a 64-bit revision
log: structlog.stdlib.BoundLogger = structlog.get_logger()


def _ignore() -> None:
    pass


class RouteChanges:
    """Watch on the revision of the routes: callers wait for a newer one.

    `on_change` is called when there may be a newer revision than the one that is known: the database
    should be asked. `on_message_refused` is called with each message that is too large.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.highest = 0  # that edges may have, also of a history that was undone
        self.waiting = 0
        self.on_change: Callable[[], None] = _ignore
        self.on_message_refused: Callable[[], None] = _ignore
        self._changed = asyncio.Event()
        self._releases = 0

    async def publish(self, revision: int) -> None:
        """Set the revision of a write that is committed, here and in all replicas."""
        self.set_revision(revision)

    def set_revision(self, revision: int) -> None:
        """Set a revision that the database has, and wake every caller that waits for it."""
        if revision > self.revision:
            self.revision = revision
            self.highest = max(revision, self.highest)
            self.on_change()
            self._wake()

    def restart_at(self, revision: int) -> None:
        """Set a revision of another history, which may be lower, and wake every caller."""
        self.revision = revision
        self.highest = max(revision, self.highest)
        self.release()

    async def wait_for(self, since: int, timeout_s: float) -> None:
        """Return when there is a revision after `since`, the time is over, or at `release`."""
        self.waiting += 1
        releases = self._releases
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    while self.revision <= since and self._releases == releases:
                        await self._changed.wait()
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Wake every caller that waits now, whatever the revision."""
        self._releases += 1
        self._wake()

    @property
    def is_connected(self) -> bool:
        """Whether other replicas are heard."""
        return False

    @property
    def problem(self) -> str | None:
        """Why other replicas are not heard, where they should be."""
        return None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class RedisRouteChanges(RouteChanges):
    """The same over Redis: what is published reaches edges and other replicas."""

    def __init__(self, redis: Redis, ping_s: float = Timing.redis_ping_s) -> None:
        super().__init__()
        self._redis = redis
        backoff = Backoff(0.2, 5, HEALTHY_S)
        self._subscription = Subscription(redis, CHANGES_CHANNEL, ping_s, backoff, self._on_refused)
        self._is_publish_failing = False

    @property
    @override
    def is_connected(self) -> bool:
        return self._subscription.is_connected

    @property
    @override
    def problem(self) -> str | None:
        if self.is_connected:
            return None
        return str(self._subscription.failure or "not connected")

    @override
    async def publish(self, revision: int) -> None:
        """Set the revision here, and tell edges and replicas; a Redis that is away costs little."""
        self.set_revision(revision)
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._redis.publish(CHANGES_CHANNEL, str(revision))
        except (RedisError, OSError) as error:
            if not self._is_publish_failing:
                reason = str(describe_failure(self._redis, error))
                log.warning("redis.publish_failed", revision=revision, reason=reason)
            self._is_publish_failing = True
        else:
            self._is_publish_failing = False

    async def listen(self) -> None:
        """Listen to what other replicas publish, for ever, whatever happens to Redis."""
        await self._subscription.run(self._on_message, self._on_connection, SystemRandom())

    def _on_message(self, data: bytes) -> None:
        if self._is_newer(data):
            self.on_change()

    def _on_refused(self) -> None:
        self.on_message_refused()

    def _on_connection(self) -> None:
        if self.is_connected:  # something may have been published while this replica was deaf
            self.on_change()

    def _is_newer(self, data: bytes) -> bool:
        # Anyone in Redis can write this: a number of thousands of digits must not be read.
        return len(data) <= MAX_DIGITS and data.isdigit() and int(data) > self.revision


def on_commit(changes: RouteChanges, audited: AuditSignal) -> Callable[[Write], Awaitable[None]]:
    """Return the callback of a store, which announces each commit to followers and edges."""

    async def announce(write: Write) -> None:
        if write.has_audit_event:
            audited.notify()
        if write.revision is not None:
            await changes.publish(write.revision)

    return announce


@contextlib.asynccontextmanager
async def redis_client(redis_url: str | None) -> AsyncGenerator[Redis | None]:
    """Provide a client of Redis, or None without a URL; it connects at its first use."""
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
    limit_replies(pool)
    async with Redis.from_pool(pool) as redis:
        yield redis


@contextlib.asynccontextmanager
async def make_route_changes(
    redis: Redis | None, ping_s: float = Timing.redis_ping_s
) -> AsyncGenerator[RouteChanges]:
    """Provide the watch, over Redis where there is one."""
    if redis is None:
        yield RouteChanges()
        return
    async with asyncio.TaskGroup() as tasks:
        changes = RedisRouteChanges(redis, ping_s)
        listening = tasks.create_task(changes.listen())
        try:
            yield changes
        finally:
            listening.cancel()
