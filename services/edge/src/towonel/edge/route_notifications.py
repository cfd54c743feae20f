"""Notifications from Redis that routes have changed; what changed is asked of the hub.

A message that is lost costs time and never truth, and a stranger in Redis can make edges ask, no
more: what a message says is not read.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from towonel.edge.metrics import Metrics
from towonel.runtime.admin import Health
from towonel.runtime.backoff import Backoff
from towonel.wire.routes import CHANGES_CHANNEL

if TYPE_CHECKING:
    from towonel.runtime.redis.pubsub import Subscription

CONNECT_TIMEOUT_S = 5.0
PING_S = 5.0  # a Redis that is gone without a word is noticed within twice this time


class RedisNotifications:
    """Event that Redis sets; `is_listening` tells whether it can be relied on.

    Args:
        health: says `degraded` while a Redis that there should be is away.
        metrics: count messages that are too large.
    """

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._metrics = metrics
        self._health = health
        self._notified = asyncio.Event()
        self._is_connected: Callable[[], bool] = lambda: False

    @property
    def is_listening(self) -> bool:
        """Whether Redis is connected."""
        return self._is_connected()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until there was a notification since the last wait, or the time is over.

        Returns:
            Whether there was one.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._notified.wait()
        was_notified = self._notified.is_set()
        self._notified.clear()
        return was_notified

    async def listen(self, url: str, rng: Random, *, ping_s: float = PING_S) -> None:
        """Listen to Redis for ever; while it is unavailable, keep trying.

        A connection that is made or lost is a notification, too: what was published while this edge
        was deaf is asked for at once.
        """
        # Importing takes 8 MB, which only edges with a Redis pay.
        from redis.asyncio import Redis  # noqa: PLC0415

        from towonel.runtime.redis.pubsub import HEALTHY_S, Subscription  # noqa: PLC0415
        from towonel.runtime.redis.replies import limit_replies  # noqa: PLC0415

        async with Redis.from_url(  # pyright: ignore[reportUnknownMemberType] its options have no type
            url, socket_connect_timeout=CONNECT_TIMEOUT_S
        ) as redis:
            limit_replies(redis.connection_pool)
            backoff, refused = Backoff(0.5, 15.0, HEALTHY_S), self._metrics.redis_refused
            subscription = Subscription(redis, CHANGES_CHANNEL, ping_s, backoff, refused.inc)
            self._is_connected = lambda: subscription.is_connected
            on_connection = partial(self._on_connection, subscription)
            on_connection()
            await subscription.run(lambda _: self._notified.set(), on_connection, rng)

    def _on_connection(self, subscription: "Subscription") -> None:
        self._notified.set()
        reason = None
        if not subscription.is_connected:
            reason = f"{subscription.failure or 'not connected'}; the hub is polled"
        self._health.set_degraded("redis", reason=reason)
