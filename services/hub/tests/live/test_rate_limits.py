"""One contract for limits that one process keeps, and for those that Redis keeps for all."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from support.ports import free_port
from support.redis_server import running_redis

from towonel.hub.core.rate_limits import FREE_STRIKES, Rate
from towonel.hub.live.rate_limits import Limiter, MemoryLimiter, RedisLimiter, make_limiter
from towonel.hub.live.route_changes import redis_client
from towonel.wire.errors import Code, Unavailable

SLOW = Rate(per_second=0.5, burst=3)
DOMAIN = "towonel/test/v1"


@contextlib.asynccontextmanager
async def replica(
    redis_url: str | None, answer_s: float = 10, retry_s: float = 5
) -> AsyncGenerator[Limiter]:
    """The limits of a hub; a Redis that is slow as this machine has much to do is not away."""
    async with redis_client(redis_url) as redis:
        yield make_limiter(redis, answer_s=answer_s, retry_s=retry_s)


@pytest.fixture(params=["memory", "redis"])
async def limited(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Limiter]:
    if request.param == "memory":
        yield MemoryLimiter()
        return
    async with running_redis(tmp_path) as url, replica(url) as made:
        yield made
        assert not made.degraded


async def refused_s(requested: Limiter, key: str, rate: Rate) -> float:
    """Return how long one who asks too often is sent away."""
    with pytest.raises(Unavailable) as caught:
        await requested.take(key, rate)
    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.retry_after_s
    return caught.value.retry_after_s


async def locked_s(requested: Limiter, address: str) -> float:
    with pytest.raises(Unavailable, match="too many wrong secrets") as caught:
        await requested.check_lockout(address)
    assert caught.value.retry_after_s
    return caught.value.retry_after_s


async def test_several_can_be_taken_at_once(limited: Limiter) -> None:
    await limited.take("many", SLOW, 2)
    with pytest.raises(Unavailable) as caught:
        await limited.take("many", SLOW, 2)
    await limited.take("many", SLOW)
    await limited.take("others", SLOW, 9)  # more than a bucket holds: all of it

    assert 1.5 < (caught.value.retry_after_s or 0) <= 2
    assert 1.5 < await refused_s(limited, "others", SLOW) <= 2


async def test_what_is_given_back_can_be_taken_again(limited: Limiter) -> None:
    await limited.take("key", SLOW, 3)
    await limited.give_back("key", SLOW, 2)
    await limited.take("key", SLOW, 2)
    refused = await refused_s(limited, "key", SLOW)
    await limited.give_back("key", SLOW, 3)
    await limited.give_back("key", SLOW, 3)  # no bucket holds more than its burst
    await limited.take("key", SLOW, 3)

    assert 1.5 < refused <= 2
    assert await refused_s(limited, "key", SLOW) > 1.5


async def test_more_than_a_burst_is_refused_and_others_are_not(limited: Limiter) -> None:
    for _ in range(SLOW.burst):
        await limited.take("one", SLOW)
    wait_s = await refused_s(limited, "one", SLOW)

    assert 0.5 < wait_s <= 2
    assert await refused_s(limited, "one", SLOW) <= wait_s
    await limited.take("two", SLOW)


async def test_a_rate_recovers(limited: Limiter) -> None:
    quick = Rate(per_second=1, burst=1)  # two asks one after the other take no second
    await limited.take("key", quick)
    await refused_s(limited, "key", quick)

    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unavailable):
                await limited.take("key", quick)
                break
            await asyncio.sleep(0.01)


async def test_who_guesses_is_locked_out_longer_and_longer(limited: Limiter) -> None:
    for _ in range(FREE_STRIKES):
        await limited.strike("2001:db8::1")
    await limited.check_lockout("2001:db8::1")
    await limited.strike("2001:db8::2")
    first_s = await locked_s(limited, "2001:db8::3")
    for _ in range(20):
        await limited.strike("2001:db8::1")

    assert 0 < first_s <= 1
    assert 800 < await locked_s(limited, "2001:db8::1") <= 900
    await limited.check_lockout("2001:db8:0:1::1")


async def test_a_signed_request_is_taken_once(limited: Limiter) -> None:
    requested = [(DOMAIN, b"a", 1), (DOMAIN, b"a", 1), (DOMAIN, b"a", 2), (DOMAIN, b"b", 1)]
    taken = [await limited.use_once(*one) for one in requested]

    assert taken == [True, False, True, True]
    assert await limited.use_once("towonel/other/v1", b"a", 1)


async def test_replicas_share_what_they_limit(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, replica(url) as one, replica(url) as two:
        for requested in (one, two, one):
            await requested.take("key", SLOW)
        for _ in range(FREE_STRIKES + 5):
            await one.strike("192.0.2.1")
        taken = await one.use_once(DOMAIN, b"a", 1)

        assert taken
        assert not await two.use_once(DOMAIN, b"a", 1)
        await refused_s(two, "key", SLOW)
        assert await locked_s(two, "192.0.2.1") > 5


LIES = ["x", "", "inf", "-inf", "nan", "1e300", "-1e300", "9" * 4_000]


@contextlib.asynccontextmanager
async def lied_to(folder: Path, key: str, lie: str | None) -> AsyncGenerator[tuple[Limiter, Redis]]:
    """Limits in a Redis where a stranger has set a key; none: to a value of another type."""
    async with (
        running_redis(folder) as url,
        replica(url) as requested,
        Redis.from_url(url) as outsider,
    ):
        if lie is None:
            await outsider.rpush(key, "x")
        else:
            await outsider.set(key, lie)
        yield requested, outsider
        assert not requested.degraded


@pytest.mark.parametrize("lie", [*LIES, None])
async def test_a_lie_about_a_rate_costs_a_burst_at_most(tmp_path: Path, lie: str | None) -> None:
    async with lied_to(tmp_path, "towonel:rate:key", lie) as (requested, _):
        with contextlib.suppress(Unavailable):
            for _ in range(SLOW.burst):
                await requested.take("key", SLOW)
        waited_s = await refused_s(requested, "key", SLOW)

    assert waited_s <= 2  # as long as anybody who used up a burst


@pytest.mark.parametrize("lie", [*LIES, None])
async def test_a_lie_about_strikes_locks_nobody_out(tmp_path: Path, lie: str | None) -> None:
    async with lied_to(tmp_path, "towonel:strikes:192.0.2.1", lie) as (requested, outsider):
        await requested.strike("192.0.2.1")
        await requested.check_lockout("192.0.2.1")
        await outsider.set("towonel:locked:192.0.2.2", "x", px=10**15)

        assert await locked_s(requested, "192.0.2.2") <= 900


async def test_without_redis_a_replica_limits_alone_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    async with replica(f"redis://127.0.0.1:{port}/0") as alone:
        for _ in range(SLOW.burst):
            await alone.take("key", SLOW)
        await refused_s(alone, "key", SLOW)
        for _ in range(FREE_STRIKES + 1):
            await alone.strike("192.0.2.1")

        assert alone.degraded
        assert await locked_s(alone, "192.0.2.1") > 0
        assert await alone.use_once(DOMAIN, b"a", 1)
        assert not await alone.use_once(DOMAIN, b"a", 1)


async def test_redis_is_asked_again_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    async with replica(f"redis://127.0.0.1:{port}/0", retry_s=0.05) as requested:
        await requested.use_once(DOMAIN, b"a", 1)
        was_degraded = requested.degraded
        async with running_redis(tmp_path, port) as url, replica(url) as other:
            async with asyncio.timeout(20):
                for number in itertools.count(2):
                    await requested.use_once(DOMAIN, b"a", number)
                    if not await other.use_once(DOMAIN, b"a", number):
                        break
                    await asyncio.sleep(0.01)

            assert was_degraded
            assert not requested.degraded


async def test_a_redis_that_says_nothing_costs_little() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with (
            replica(f"redis://127.0.0.1:{port}/0", answer_s=0.25) as requested,
            asyncio.timeout(20),
        ):
            for number in range(100):
                assert await requested.use_once(DOMAIN, b"a", number)

            assert requested.degraded


async def test_memory_is_bounded_whoever_asks() -> None:
    requested = MemoryLimiter(lambda: 0, max_sources=10, max_nonces=10)
    for number in range(11):
        for _ in range(SLOW.burst):
            await requested.take(f"key-{number}", SLOW)
        assert await requested.use_once(DOMAIN, b"a", number)

    await requested.take("key-0", SLOW)  # forgotten
    await refused_s(requested, "key-10", SLOW)
    assert not await requested.use_once(DOMAIN, b"a", 10)
    assert await requested.use_once(DOMAIN, b"a", 0)


async def test_nonces_are_kept_for_as_long_as_their_time_passes() -> None:
    now_ms = 0
    requested = MemoryLimiter(lambda: now_ms)
    await requested.use_once(DOMAIN, b"a", 60_000)
    now_ms = 119_999
    await requested.use_once(DOMAIN, b"a", 1)

    assert not await requested.use_once(DOMAIN, b"a", 60_000)


def test_a_hub_without_redis_is_not_degraded() -> None:
    assert not make_limiter(None).degraded
    assert isinstance(make_limiter(None), MemoryLimiter)


async def test_a_hub_with_redis_shares() -> None:
    async with replica("redis://127.0.0.1:1/0") as made:
        assert isinstance(made, RedisLimiter)
