"""Redis rings when routes have changed; what changed is asked of the hub.

A message that is lost costs time and never truth, and a stranger in Redis can make edges ask, no
more. Whoever rings is not read.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from random import Random

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from towonel.runtime.backoff import Backoff

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CHANNEL = "towonel:routes"
CONNECT_TIMEOUT_S = 5.0
PING_EVERY_S = 5.0  # a Redis that is gone without a word is noticed within twice this time


class RedisNotifications:
    """Rung by Redis; `is_listening` tells whether it can be relied on to ring."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.is_listening = False

    async def wait(self, timeout_s: float) -> None:
        """Wait until it has rung since the last wait, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        self._rung.clear()

    async def listen(self, url: str, rng: Random) -> None:
        """Listen to Redis for ever; while it is away, keep trying."""
        backoff = Backoff(0.5, 15.0)
        while True:
            try:
                async with _subscribed(url) as messages:
                    await self._ring_for_each(messages, backoff)
            except (RedisError, OSError) as error:
                # The error's text may show the URL, and the URL may hold a password.
                log.warning("doorbell.lost", error=type(error).__name__)
            finally:
                self._hear(is_listening=False)
            await asyncio.sleep(backoff.next_delay(rng))

    async def _ring_for_each(self, messages: PubSub, backoff: Backoff) -> None:
        is_pinged = False
        while True:
            message = await messages.get_message(timeout=PING_EVERY_S)
            match message["type"] if message else None:
                case "subscribe":
                    backoff.record_success(0)
                    self._hear(is_listening=True)
                case "message":
                    self._rung.set()
                case None if is_pinged:
                    raise TimeoutError("no answer to a ping")
                case _:
                    pass
            is_pinged = message is None
            if is_pinged:
                await messages.ping()

    def _hear(self, *, is_listening: bool) -> None:
        """Ring at each change: what came while nobody listened is asked for at once."""
        if is_listening is not self.is_listening:
            self.is_listening = is_listening
            self._rung.set()
            log.info("doorbell.listening" if is_listening else "doorbell.silent")


@contextlib.asynccontextmanager
async def _subscribed(url: str) -> AsyncGenerator[PubSub]:
    redis = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S)
    async with redis, redis.pubsub() as messages:
        await messages.subscribe(CHANNEL)
        yield messages
