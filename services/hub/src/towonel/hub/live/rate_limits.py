"""Rate limits, lockouts and replay nonces: shared by all replicas in Redis, or one set per process.

Redis holds nothing that cannot be lost. While it is unavailable every replica counts for itself and
says so: a client gets at most as many times the rate as there are replicas.
"""

# redis-py's types leave its responses open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from towonel.hub.core import rate_limits
from towonel.hub.core.rate_limits import Rate, Strikes, source_of
from towonel.hub.live.recent_values import RecentValues
from towonel.hub.live.redis_scripts import GIVE_BACK, STRIKE, TAKE
from towonel.hub.timing import Timing
from towonel.identity.signatures import MAX_SKEW_MS
from towonel.runtime.redis.failures import RedisFailure, describe_failure
from towonel.wire.errors import Code, Unavailable

MAX_SOURCES = 100_000  # remembered at once; the one that asked least recently is forgotten first
MAX_NONCES = 65_536  # of one signer: it would have to sign one every 2 ms
NONCE_MS = 2 * MAX_SKEW_MS  # a request's time may be as far ahead as it may lie behind
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Limiter(Protocol):
    """Interface of the rate limits, lockouts and replay nonces."""

    @property
    def degraded(self) -> bool:
        """Whether this process counts alone, where replicas should share their counts."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it does."""
        ...

    async def check(self) -> None:
        """Find out whether they are shared, without a request that needs it."""
        ...

    async def take(self, key: str, rate: Rate, count: int = 1) -> None:
        """Count one request, or what it asks for.

        Raises:
            Unavailable: RATE_LIMITED, and when to come back.
        """
        ...

    async def give_back(self, key: str, rate: Rate, count: int) -> None:
        """Uncount what was taken and not used."""
        ...

    async def strike(self, address: str) -> None:
        """Count a wrong secret."""
        ...

    async def check_lockout(self, address: str) -> None:
        """Check that an address did not guess secrets.

        Raises:
            Unavailable: RATE_LIMITED, and when to come back.
        """
        ...

    async def use_once(self, domain: str, signer: bytes, timestamp_ms: int) -> bool:
        """Return True for a signed request at its first use, then False."""
        ...


class MemoryLimiter:
    """Rate limits in the memory of one process."""

    degraded = False
    problem = None

    def __init__(
        self,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        *,
        max_sources: int = MAX_SOURCES,
        max_nonces: int = MAX_NONCES,
    ) -> None:
        self._now_ms = now_ms
        self._max_nonces = max_nonces
        self._full_at_ms = RecentValues[float](max_sources)
        self._strikes = RecentValues[Strikes](max_sources)
        self._nonces: dict[tuple[str, bytes], dict[int, int]] = {}

    async def check(self) -> None:
        """See `Limiter`."""

    async def take(self, key: str, rate: Rate, count: int = 1) -> None:
        """See `Limiter`."""
        taken = rate_limits.take(self._full_at_ms.get(key, 0), rate, self._now_ms(), count)
        self._full_at_ms.put(key, taken.full_at_ms)
        _check_wait(taken.wait_ms)

    async def give_back(self, key: str, rate: Rate, count: int) -> None:
        """See `Limiter`."""
        self._full_at_ms.put(key, self._full_at_ms.get(key, 0) - count * rate.interval_ms)

    async def strike(self, address: str) -> None:
        """See `Limiter`."""
        source = source_of(address)
        before = self._strikes.get(source, Strikes())
        self._strikes.put(source, before.add(self._now_ms()))

    async def check_lockout(self, address: str) -> None:
        """See `Limiter`."""
        strikes = self._strikes.get(source_of(address), Strikes())
        _check_locked(strikes.locked_until_ms - self._now_ms())

    async def use_once(self, domain: str, signer: bytes, timestamp_ms: int) -> bool:
        """See `Limiter`; of a signer that sends too many, its own oldest are forgotten."""
        used, now_ms = self._nonces.setdefault((domain, signer), {}), self._now_ms()
        if timestamp_ms in used:
            return False
        while used and (len(used) >= self._max_nonces or next(iter(used.values())) <= now_ms):
            del used[next(iter(used))]
        used[timestamp_ms] = now_ms + NONCE_MS
        return True


class RedisLimiter:
    """Rate limits in Redis, for all replicas; while it is unavailable, in this process's memory.

    Args:
        redis: the client.
        fallback: the limits of this process.
        answer_s: a Redis slower than this counts as unavailable.
        retry_s: between attempts to reach one that is.
    """

    def __init__(
        self,
        redis: Redis,
        fallback: MemoryLimiter,
        *,
        answer_s: float = Timing.redis_answer_s,
        retry_s: float = Timing.redis_retry_s,
    ) -> None:
        self._redis = redis
        self._fallback = fallback
        self._answer_s = answer_s
        self._retry_s = retry_s
        self._away_until_s: float | None = None
        self._failure: RedisFailure | None = None
        self._take = redis.register_script(TAKE)
        self._give_back = redis.register_script(GIVE_BACK)
        self._strike = redis.register_script(STRIKE)

    @property
    def degraded(self) -> bool:
        """Whether Redis did not answer when it was asked last."""
        return self._failure is not None

    @property
    def problem(self) -> str | None:
        """Why it did not."""
        return None if self._failure is None else str(self._failure)

    async def check(self) -> None:
        """See `Limiter`."""
        await self._ask(self._redis.ping)

    async def take(self, key: str, rate: Rate, count: int = 1) -> None:
        """See `Limiter`."""
        arguments = [rate.interval_ms, rate.burst, count]
        wait_ms = await self._ask(lambda: self._take(keys=[f"towonel:rate:{key}"], args=arguments))
        if wait_ms is None:
            await self._fallback.take(key, rate, count)
        else:
            _check_wait(float(wait_ms))

    async def give_back(self, key: str, rate: Rate, count: int) -> None:
        """See `Limiter`."""
        arguments = [count * rate.interval_ms]
        done = await self._ask(
            lambda: self._give_back(keys=[f"towonel:rate:{key}"], args=arguments)
        )
        if done is None:
            await self._fallback.give_back(key, rate, count)

    async def strike(self, address: str) -> None:
        """See `Limiter`."""
        await self._fallback.strike(address)  # so that guessing costs the same when Redis goes away
        source = source_of(address)
        arguments = [rate_limits.FREE_STRIKES, rate_limits.MAX_LOCKOUT_MS, rate_limits.FORGET_MS]
        await self._ask(
            lambda: self._strike(
                keys=[f"towonel:strikes:{source}", f"towonel:locked:{source}"], args=arguments
            )
        )

    async def check_lockout(self, address: str) -> None:
        """See `Limiter`."""
        await self._fallback.check_lockout(address)
        left_ms = await self._ask(lambda: self._redis.pttl(f"towonel:locked:{source_of(address)}"))
        _check_locked(min(left_ms or 0, rate_limits.MAX_LOCKOUT_MS))

    async def use_once(self, domain: str, signer: bytes, timestamp_ms: int) -> bool:
        """See `Limiter`."""
        if not await self._fallback.use_once(domain, signer, timestamp_ms):
            return False
        name = f"towonel:nonce:{domain}:{signer.hex()}:{timestamp_ms}"
        is_new = await self._ask(lambda: self._set_if_new(name))
        return is_new is not False

    async def _set_if_new(self, name: str) -> bool:
        return bool(await self._redis.set(name, b"", nx=True, px=NONCE_MS))

    async def _ask(self, question: Callable[[], Any]) -> Any:
        """Return Redis's answer, or None while it is unavailable."""
        if self._away_until_s is not None and time.monotonic() < self._away_until_s:
            return None
        try:
            async with asyncio.timeout(self._answer_s):
                answer = await cast(Awaitable[Any], question())
        except (RedisError, OSError) as error:
            failure = describe_failure(self._redis, error)
            if self._failure is None:
                log.warning("rate_limits.degraded", address=failure.address, reason=failure.reason)
            self._failure = failure
            self._away_until_s = time.monotonic() + self._retry_s
            return None
        if self._failure is not None:
            log.info("rate_limits.restored")
        self._away_until_s = self._failure = None
        return answer


def make_limiter(
    redis: Redis | None,
    *,
    answer_s: float = Timing.redis_answer_s,
    retry_s: float = Timing.redis_retry_s,
) -> Limiter:
    """Return the limits, shared by replicas where there is a Redis."""
    memory = MemoryLimiter()
    if redis is None:
        return memory
    return RedisLimiter(redis, memory, answer_s=answer_s, retry_s=retry_s)


def _check_wait(wait_ms: float) -> None:
    if wait_ms > 0:
        raise Unavailable(
            Code.RATE_LIMITED,
            f"too many requests; come back in {math.ceil(wait_ms / 1000)} s",
            retry_after_s=wait_ms / 1000,
        )


def _check_locked(left_ms: int) -> None:
    if left_ms > 0:
        raise Unavailable(
            Code.RATE_LIMITED,
            f"too many wrong secrets from this address; come back in {math.ceil(left_ms / 1000)} s",
            retry_after_s=left_ms / 1000,
        )
