"""Subscription to a channel of Redis that outlives the connection it is on."""

# redis-py's types leave its responses open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import Callable
from random import Random

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from towonel.runtime.backoff import Backoff
from towonel.runtime.redis.failures import RedisFailure, describe_failure
from towonel.runtime.redis.replies import ReplyTooLargeError

# Whoever publishes must not be able to take the processor: the backlog is left to Redis, which ends
# a subscriber whose backlog becomes too long, and that one connects again.
BATCH = 20  # messages received without a pause
PAUSE_S = 0.05
HEALTHY_S = 10.0  # a connection that ends sooner is made again less and less often

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Subscription:
    """Subscriber of one channel, which connects again whenever the connection is lost.

    Messages of the time between two connections are lost: a receiver asks again at each connection.
    At most `BATCH` messages are received in `PAUSE_S` seconds. One that is too large ends the
    connection: its sender cannot be told from others.

    Args:
        redis: the client, with `limit_replies` on its pool; it is not closed.
        channel: the name of the channel.
        ping_s: seconds of silence after which Redis is pinged. One that hangs, or is gone without a
            word, is noticed within twice this time.
        backoff: between attempts to connect.
        on_refused: is called with each message that is too large.
    """

    def __init__(
        self,
        redis: Redis,
        channel: str,
        ping_s: float,
        backoff: Backoff,
        on_refused: Callable[[], None],
    ) -> None:
        self._redis = redis
        self._on_refused = on_refused
        self._connected_s = 0.0
        self._channel = channel
        self._ping_s = ping_s
        self._backoff = backoff
        self.is_connected = False
        self.failure: RedisFailure | None = None  # why it is not connected

    async def run(
        self, on_message: Callable[[bytes], None], on_connection: Callable[[], None], rng: Random
    ) -> None:
        """Receive until it is cancelled; while Redis is unavailable, keep trying.

        Args:
            on_message: is called with each message, which anyone in Redis may have sent.
            on_connection: is called at each connection, when one is lost, and when it is known why
                there is none.
            rng: spreads the attempts of many processes.
        """
        while True:
            try:
                async with self._redis.pubsub() as messages:
                    await messages.subscribe(self._channel)
                    await self._receive(messages, on_message, on_connection)
            except ReplyTooLargeError as error:
                log.warning("redis.message_refused", channel=self._channel, reason=str(error))
                self._on_refused()
            except (RedisError, OSError) as error:
                if self._note_failure(describe_failure(self._redis, error)):
                    on_connection()
            finally:
                if self.is_connected:
                    loop = asyncio.get_running_loop()
                    self._backoff.record_success(loop.time() - self._connected_s)
                    self.is_connected = False
                    on_connection()
            await asyncio.sleep(self._backoff.next_delay(rng))

    def _note_failure(self, failure: RedisFailure) -> bool:
        """Log the first failure since a connection, and whether Redis refuses; later ones say no more.

        Returns:
            Whether there was no connection before.
        """
        before, self.failure = self.failure, failure
        if before is None or before.is_refusal != failure.is_refusal:
            log.warning("redis.disconnected", address=failure.address, reason=failure.reason)
            return not self.is_connected
        return False

    async def _receive(
        self,
        messages: PubSub,
        on_message: Callable[[bytes], None],
        on_connection: Callable[[], None],
    ) -> None:
        is_pinged, received = False, 0
        while True:
            message = await messages.get_message(timeout=self._ping_s)
            match message:
                case None if is_pinged:
                    raise TimeoutError("no answer to a ping")
                case {"type": "subscribe"}:
                    log.info("redis.connected")
                    self._connected_s = asyncio.get_running_loop().time()
                    self.is_connected, self.failure = True, None
                    on_connection()  # also where the client has connected again by itself
                case {"type": "message", "data": bytes() | str() as data}:
                    # Text where the URL asks for it, `decode_responses=true`.
                    on_message(data.encode() if isinstance(data, str) else data)
                    received += 1
                    if received % BATCH == 0:
                        await asyncio.sleep(PAUSE_S)
                case _:
                    pass
            is_pinged = message is None
            if is_pinged:
                await messages.ping()
