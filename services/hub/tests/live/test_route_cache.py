"""Routes in memory: many edges ask at once, and the routes change meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast

import pytest
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession
from support.hub import TestHub, state, tenant_of

from towonel.hub.background import DatabaseWatch
from towonel.hub.live.route_cache import RouteCache
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import route_history
from towonel.hub.store.db.transactions import Store
from towonel.hub.store.tables import RevisionRow, RevisionTagRow, RouteRow, ServiceRow
from towonel.identity.keys import NodeKey
from towonel.runtime.admin import Health
from towonel.wire.routes import RouteDelta, decode_delta
from towonel.wire.tokens import EdgeToken

type Publish = Callable[..., Awaitable[None]]


@pytest.fixture
def cache(hub: TestHub) -> RouteCache:
    """A cache that encodes and reads two routes at once."""
    return RouteCache(hub.context.store, RouteChanges(), rows_at_once=2, routes_per_chunk=2)


@pytest.fixture
async def publish(hub: TestHub, cache: RouteCache) -> Publish:
    """Add names to a tenant with so many that a snapshot has several chunks."""
    tenant, client = tenant_of(await hub.invite("*.eu")), hub.client()

    async def publish(*names: str) -> None:
        await client.apply_desired_state(tenant, state(*(f"s{at}.eu" for at in range(9)), *names))
        await cache.catch_up()

    await publish()
    return publish


def begin_snapshot(cache: RouteCache) -> Coroutine[Any, Any, Sequence[bytes]]:
    """A request for everything, in the middle of its encoding."""
    requested = cache.encode_since(None)
    requested.send(None)
    return requested


def finish(requested: Coroutine[Any, Any, Sequence[bytes]]) -> Sequence[bytes]:
    """Return its answer."""
    while True:
        try:
            requested.send(None)
        except StopIteration as ended:
            answer: Sequence[bytes] = ended.value
            return answer


def reported(answer: Sequence[bytes]) -> RouteDelta:
    return decode_delta(b"".join(answer))


async def test_of_many_edges_that_ask_for_everything_one_pays(
    cache: RouteCache, publish: Publish
) -> None:
    async with asyncio.TaskGroup() as tasks:
        requested = [tasks.create_task(cache.encode_since(None)) for _ in range(50)]

    assert len({id(task.result()) for task in requested}) == 1
    assert len(requested[0].result()) > 2


async def test_a_change_meanwhile_makes_nobody_who_waits_pay_again(
    cache: RouteCache, publish: Publish
) -> None:
    first = begin_snapshot(cache)
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(cache.encode_since(None)) for _ in range(50)]
        await asyncio.sleep(0)  # they wait now
        await publish("new.eu")
        answer = finish(first)

    assert {id(other.result()) for other in others} == {id(answer)}


async def test_who_asks_after_a_change_is_told_of_it_whatever_was_begun_before(
    cache: RouteCache, publish: Publish
) -> None:
    first = begin_snapshot(cache)
    await publish("new.eu")
    before, after = reported(finish(first)), reported(await cache.encode_since(None))

    assert {route.name for route in after.routes} - {route.name for route in before.routes} == {
        "new.eu"
    }
    assert after.revision == cache.revision > before.revision


async def test_who_asks_for_a_change_does_not_wait_for_who_asks_for_everything(
    cache: RouteCache, publish: Publish
) -> None:
    since = cache.revision
    await publish("new.eu")
    everything = begin_snapshot(cache)
    async with asyncio.timeout(20):
        change = reported(await cache.encode_since(since))
    finish(everything)

    assert [route.name for route in change.routes] == ["new.eu"]


async def test_nobody_sees_half_of_what_is_read(
    hub: TestHub, cache: RouteCache, publish: Publish
) -> None:
    fresh = RouteCache(hub.context.store, RouteChanges(), rows_at_once=2)
    seen = set[int]()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(fresh.catch_up())
        while not reading.done():
            seen.add(len(fresh.delta(None).routes))
            await asyncio.sleep(0)

    assert seen <= {0, 9}
    assert fresh.delta(None) == cache.delta(None)
    assert len(fresh.delta(None).routes) == 9


async def test_who_has_just_started_knows_what_changed_last(
    hub: TestHub, cache: RouteCache, publish: Publish
) -> None:
    for names in (["old.eu"], [], ["new.eu"]):
        await publish(*names)
    since = cache.revision
    await publish("new.eu", "old.eu")  # a row that is older than others, and changed last
    fresh = RouteCache(hub.context.store, RouteChanges())
    await fresh.catch_up()

    assert [route.name for route in fresh.delta(since).routes] == ["old.eu"]


async def test_a_stopping_hub_answers_who_waits_now_and_later(hub: TestHub) -> None:
    context = hub.context

    async def wait() -> bool:
        return await context.route_cache.wait_for_change(0, 30, context.stopping)

    async with asyncio.timeout(20):
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(wait())
            while not context.route_changes.waiting:
                await asyncio.sleep(0)
            context.stop()
        later = await wait()

    assert (waiting.result(), later) == (True, True)


async def test_a_change_while_the_cache_is_read_ends_the_wait(hub: TestHub) -> None:
    context, tenant = hub.context, tenant_of(await hub.invite("*.eu"))
    client = hub.client()
    await client.apply_desired_state(tenant, state("a.eu"))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        # The write comes in while the wait reads the change before it.
        waiting = tasks.create_task(context.route_cache.wait_for_change(1, 30, context.stopping))
        await asyncio.sleep(0)
        await client.apply_desired_state(tenant, state("a.eu", "b.eu"))

    assert waiting.result()
    assert context.route_cache.revision == 2


async def test_a_newer_revision_requests_a_refresh_once(hub: TestHub) -> None:
    cache, changes = hub.context.route_cache, hub.context.route_changes
    changes.set_revision(5)
    changes.set_revision(5)
    changes.on_change()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        await cache.refresh_requested(60)
        second = tasks.create_task(cache.refresh_requested(60))
        await asyncio.sleep(0)
        was_done = second.done()
        changes.set_revision(6)

    assert not was_done


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


async def rewrite_history(hub: TestHub, revision: int) -> None:
    """Have the database be another one at a revision, as after a failover and some writes."""
    async with hub.context.store.write_fact() as session:
        await session.exec(delete(RouteRow).where(col(RouteRow.name) == "a.eu"))
        await session.exec(update(RevisionRow).values(value=revision))
        await session.exec(delete(RevisionTagRow).where(col(RevisionTagRow.revision) >= revision))
        session.add(RevisionTagRow(revision=revision, tag=b"another!"))


@pytest.mark.both_databases
@pytest.mark.parametrize("back", [0, 1])
async def test_an_edge_that_waits_gets_everything_once_the_history_is_another(
    hub: TestHub, back: int
) -> None:
    context, tenant = hub.context, tenant_of(await hub.invite("*.eu"))
    client, node, newest = hub.client(), context.keys.node, 0
    for names in (["a.eu"], ["a.eu", "b.eu"], ["a.eu", "b.eu", "c.eu"]):
        hub.clock.now_ms += 1
        newest = (await client.apply_desired_state(tenant, state(*names))).revision
    known = await client.follow_routes(node, None)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(client.follow_routes(node, newest, 30, known.tag))
        while not context.route_changes.waiting:
            await asyncio.sleep(0.01)
        await rewrite_history(hub, newest - back)
        await DatabaseWatch(context, Health()).check()
        await context.route_cache.refresh_requested(20)
        await context.route_cache.catch_up()

    answer = waiting.result()
    assert (answer.revision, answer.snapshot, answer.tag) == (newest - back, True, b"another!")
    assert {route.name for route in answer.routes} == {"b.eu", "c.eu"}


async def test_an_edge_of_a_version_without_tags_is_answered_by_the_number_alone(
    hub: TestHub,
) -> None:
    tenant, client = tenant_of(await hub.invite("*.eu")), hub.client()
    first = await client.apply_desired_state(tenant, state("a.eu"))
    hub.clock.now_ms += 1
    await client.apply_desired_state(tenant, state("a.eu", "b.eu"))
    without = await client.follow_routes(hub.context.keys.node, first.revision)
    hub.clock.now_ms += 1
    foreign = await client.follow_routes(hub.context.keys.node, first.revision, 0, b"12345678")

    assert (without.snapshot, [route.name for route in without.routes]) == (False, ["b.eu"])
    assert (foreign.snapshot, len(foreign.routes)) == (True, 2)


@pytest.mark.both_databases
async def test_after_another_history_no_revision_is_given_that_an_edge_may_have(
    hub: TestHub,
) -> None:
    context, tenant = hub.context, tenant_of(await hub.invite("*.eu"))
    client, newest = hub.client(), 0
    for names in (["a.eu"], ["a.eu", "b.eu"]):
        hub.clock.now_ms += 1
        newest = (await client.apply_desired_state(tenant, state(*names))).revision
    await rewrite_history(hub, newest - 1)
    await context.route_cache.catch_up()
    hub.clock.now_ms += 1
    after = await client.apply_desired_state(tenant, state("d.eu"))

    assert context.route_changes.highest == after.revision > newest + 1


class HeldReads:
    """A store whose second read sees the database as it is, and waits until it may go on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.count = 0
        self.has_begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        self.count += 1
        async with self._store.read() as session:
            if self.count == 2:
                await route_history.read_head(session, 0)
                self.has_begun.set()
                await self.may_go_on.wait()
            yield session


async def test_who_asks_what_the_database_has_now_shares_a_read_that_began_after(
    hub: TestHub,
) -> None:
    reads = HeldReads(hub.context.store)
    cache = RouteCache(cast(Store, reads), RouteChanges())
    await cache.catch_up()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(cache.catch_up())
        await reads.has_begun.wait()
        created = await hub.client().edge_invites.create("edge")
        reads.may_go_on.set()
        asked = [tasks.create_task(cache.follow(None)) for _ in range(50)]

    assert all(task.result() for task in asked)
    assert NodeKey.from_seed(EdgeToken.decode(created.token).seed).public in cache.edges
    assert reads.count == 3
