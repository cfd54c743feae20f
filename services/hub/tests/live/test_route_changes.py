"""Route changes between replicas: a real Redis, which may die, lie, or say nothing."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlmodel.ext.asyncio.session import AsyncSession
from structlog.testing import capture_logs
from support.hub import route_changes_over
from support.ports import free_port
from support.redis_server import running_redis
from support.replicas import replicas

from towonel.hub.live.audit_signal import AuditSignal
from towonel.hub.live.route_changes import RedisRouteChanges, RouteChanges, on_commit
from towonel.hub.store.db.transactions import Write
from towonel.wire.routes import CHANGES_CHANNEL


async def test_a_change_at_one_replica_wakes_who_waits_at_the_other(tmp_path: Path) -> None:
    async with (
        running_redis(tmp_path) as url,
        replicas(tmp_path, TOWONEL_REDIS_URL=url) as (one, two),
        asyncio.timeout(20),
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(two.client.follow_routes(two.node, 0, 30))
        await two.until("towonel_hub_route_waiters", 1)
        await one.change("a.eu")

    assert waiting.result().revision == 1
    assert len(waiting.result().blocked) == 1


async def test_a_stranger_in_redis_can_forge_nothing_and_stop_nothing(tmp_path: Path) -> None:
    lies = ["9" * 5000, "999999", "-1", "", "x", "\u0663", "1.0"]
    async with (
        running_redis(tmp_path) as url,
        replicas(tmp_path, TOWONEL_REDIS_URL=url) as (one, two),
        Redis.from_url(url) as outsider,
    ):
        for lie in lies:
            assert await outsider.publish(CHANGES_CHANNEL, lie) == 2
        await one.change("a.eu")
        await two.until("towonel_hub_routes_revision", 1)
        quiet = await two.client.follow_routes(two.node, 1, 1)

        assert await two.metric("towonel_hub_redis_connected") == 1

    assert (quiet.revision, quiet.snapshot, quiet.routes, quiet.blocked) == (1, False, (), ())


async def test_a_hub_works_on_while_redis_is_away_and_hears_it_again(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    redis = contextlib.AsyncExitStack()
    url = await redis.enter_async_context(running_redis(tmp_path / "first", port))
    async with replicas(tmp_path, TOWONEL_REDIS_URL=url) as (one, two):
        await redis.aclose()
        for replica in (one, two):
            await replica.until("towonel_hub_redis_connected", 0)
        await one.change("a.eu")
        await two.until("towonel_hub_routes_revision", 1)  # it asks the database meanwhile
        missed = await two.client.follow_routes(two.node, 0)
        async with running_redis(tmp_path / "second", port):
            await two.until("towonel_hub_routes_revision", 1)  # asked for at the subscription
            await one.until("towonel_hub_redis_connected", 1)
            await one.change("b.eu")
            await two.until("towonel_hub_routes_revision", 2)

    assert missed.revision == 1


async def test_changes_that_redis_does_not_take_are_told_once_and_are_there(tmp_path: Path) -> None:
    port = free_port()
    async with Redis.from_url(f"redis://127.0.0.1:{port}/0") as redis:
        ours = RedisRouteChanges(redis)
        with capture_logs() as lines:
            for revision in (1, 2):
                await ours.publish(revision)
            async with running_redis(tmp_path, port):
                await ours.publish(3)
            await ours.publish(4)

    told = [(line["event"], line["revision"]) for line in lines]
    assert told == [("redis.publish_failed", 1), ("redis.publish_failed", 4)]
    assert str(lines[0]["reason"]) == f"127.0.0.1:{port}: Connection refused"
    assert ours.revision == 4


async def test_only_newer_numbers_are_news(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as url, route_changes_over(url) as ours:
        assert isinstance(ours, RedisRouteChanges)
        ours.set_revision(7)

        assert [ours._is_newer(data) for data in (b"6", b"7", b"8", b"9" * 19)] == [
            False,
            False,
            True,
            True,
        ]
        assert not ours._is_newer(b"9" * 20)


@pytest.mark.parametrize("revision", [1, 2])
async def test_who_waits_is_not_woken_by_what_it_has(revision: int) -> None:
    ours = RouteChanges()
    ours.set_revision(2)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ours.wait_for(2, 10))
        while not ours.waiting:
            await asyncio.sleep(0)
        ours.set_revision(revision)
        await asyncio.sleep(0)
        was_woken = waiting.done()
        ours.set_revision(3)

    assert not was_woken
    assert ours.waiting == 0


async def test_a_release_ends_the_waits_of_now_whatever_the_revision() -> None:
    ours = RouteChanges()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(ours.wait_for(since, 30)) for since in (0, 7)]
        while ours.waiting < len(waiting):
            await asyncio.sleep(0)
        ours.release()

    assert (ours.waiting, ours.revision) == (0, 0)


async def test_a_change_between_a_read_and_the_wait_ends_the_wait() -> None:
    ours, audited = RouteChanges(), AuditSignal()
    since, next_write = ours.revision, audited.next_write_event()
    ours.set_revision(1)
    audited.notify()

    async with asyncio.timeout(20):
        await ours.wait_for(since, 30)
        await next_write.wait()
    assert not audited.next_write_event().is_set()


@pytest.mark.parametrize(("audited", "revision"), [(True, None), (False, 3), (True, 3)])
async def test_a_commit_tells_those_whom_it_concerns(audited: bool, revision: int | None) -> None:
    ours, signal, updates = RouteChanges(), AuditSignal(), asyncio.Event()
    ours.on_change = updates.set
    next_write = signal.next_write_event()
    async with AsyncSession() as session:
        await on_commit(ours, signal)(Write(session, 0, 0, revision, audited))

    assert next_write.is_set() is audited
    assert updates.is_set() is (revision is not None)
    assert ours.revision == (revision or 0)


async def test_a_wait_ends_at_its_time() -> None:
    async with asyncio.timeout(20):
        await RouteChanges().wait_for(0, 0.01)
