"""Routes in memory: many edges ask at once, and the routes change meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest
from sqlmodel import col, delete, select, update
from support.hub import TestHub, state, tenant_of

from towonel.hub.live.route_cache import RouteCache
from towonel.hub.store import route_history as source
from towonel.hub.store.tables import RevisionRow, RouteRow, ServiceRow
from towonel.wire import routes
from towonel.wire.routes import RouteDelta, decode_delta

type Publish = Callable[..., Awaitable[None]]


@pytest.fixture
async def publish(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Add names to a tenant with so many that a snapshot has pieces, and reading it parts."""
    monkeypatch.setattr(routes, "_ROUTES_A_CHUNK", 2)
    monkeypatch.setattr(source, "ROWS_AT_ONCE", 2)
    tenant, client = tenant_of(await hub.invite("*.eu")), hub.client()

    async def publish(*names: str) -> None:
        await client.apply_desired_state(tenant, state(*(f"s{at}.eu" for at in range(9)), *names))
        await hub.context.route_cache.catch_up()

    await publish()
    return publish


def begun(directory: RouteCache) -> Coroutine[Any, Any, Sequence[bytes]]:
    """An edge that asked for everything, in the middle of what makes its answer."""
    asked = directory.encoded(None)
    asked.send(None)
    return asked


def answered(asked: Coroutine[Any, Any, Sequence[bytes]]) -> Sequence[bytes]:
    """What it is told, once it may go on."""
    while True:
        try:
            asked.send(None)
        except StopIteration as ended:
            answer: Sequence[bytes] = ended.value
            return answer


def told(answer: Sequence[bytes]) -> RouteDelta:
    return decode_delta(b"".join(answer))


async def test_of_many_edges_that_ask_for_everything_one_pays(
    hub: TestHub, publish: Publish
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(hub.context.route_cache.encoded(None)) for _ in range(50)]

    assert len({id(task.result()) for task in asked}) == 1
    assert len(asked[0].result()) > 2


async def test_a_change_meanwhile_makes_nobody_who_waits_pay_again(
    hub: TestHub, publish: Publish
) -> None:
    directory = hub.context.route_cache
    first = begun(directory)
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(directory.encoded(None)) for _ in range(50)]
        await asyncio.sleep(0)  # they wait now
        await publish("new.eu")
        answer = answered(first)

    assert {id(other.result()) for other in others} == {id(answer)}


async def test_who_asks_after_a_change_is_told_of_it_whatever_was_begun_before(
    hub: TestHub, publish: Publish
) -> None:
    directory = hub.context.route_cache
    first = begun(directory)
    await publish("new.eu")
    before, after = told(answered(first)), told(await directory.encoded(None))

    assert {route.name for route in after.routes} - {route.name for route in before.routes} == {
        "new.eu"
    }
    assert after.revision == directory.revision > before.revision


async def test_who_asks_for_a_change_does_not_wait_for_who_asks_for_everything(
    hub: TestHub, publish: Publish
) -> None:
    since = hub.context.route_cache.revision
    await publish("new.eu")
    everything = begun(hub.context.route_cache)
    async with asyncio.timeout(20):
        change = told(await hub.context.route_cache.encoded(since))
    answered(everything)

    assert [route.name for route in change.routes] == ["new.eu"]


async def test_nobody_sees_half_of_what_is_read(hub: TestHub, publish: Publish) -> None:
    fresh, seen = RouteCache(hub.context.store), set[int]()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(fresh.catch_up())
        while not reading.done():
            seen.add(len(fresh.delta(None).routes))
            await asyncio.sleep(0)

    assert seen <= {0, 9}
    assert fresh.delta(None) == hub.context.route_cache.delta(None)
    assert len(fresh.delta(None).routes) == 9


async def test_who_has_just_started_knows_what_changed_last(hub: TestHub, publish: Publish) -> None:
    for names in (["old.eu"], [], ["new.eu"]):
        await publish(*names)
    since = hub.context.route_cache.revision
    await publish("new.eu", "old.eu")  # a row that is older than others, and changed last
    fresh = RouteCache(hub.context.store)
    await fresh.catch_up()

    assert [route.name for route in fresh.delta(since).routes] == ["old.eu"]


async def failed_over(hub: TestHub, since: int) -> None:
    """Lose what was committed after a revision, as an asynchronous standby does."""
    async with hub.context.store.write() as change:
        newer = select(RouteRow.key).where(RouteRow.revision > since)
        lost = (await change.session.exec(newer)).all()
        for table in (RouteRow, ServiceRow):
            await change.session.exec(delete(table).where(col(table.key).in_(lost)))
        await change.session.exec(update(RevisionRow).values(value=since))


@pytest.mark.both_databases
async def test_revisions_that_a_failover_lost_never_come_back_with_another_meaning(
    hub: TestHub,
) -> None:
    client, node = hub.client(), hub.context.keys.node
    tenant = tenant_of(await hub.invite("*.eu"))
    first = await client.apply_desired_state(tenant, state("a.eu"))
    await client.apply_desired_state(tenant, state("a.eu", "lost.eu"))
    before = await client.follow_routes(node, None)
    await failed_over(hub, first.revision)
    hub.clock.now_ms += 1
    await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    last = await client.apply_desired_state(tenant, state("a.eu", "b.eu", "c.eu"))
    after = await client.follow_routes(node, before.revision)

    assert after.revision == last.revision > before.revision + 1
    assert (after.snapshot, {route.name for route in after.routes}) == (
        True,
        {"a.eu", "b.eu", "c.eu"},
    )
    assert not (await client.follow_routes(node, last.revision - 1)).snapshot
