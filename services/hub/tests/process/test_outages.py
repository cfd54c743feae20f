"""Redis or Postgres gone, killed or hanging: what still works, what says so, and the way back."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support import garbage
from support import postgres as postgres_server
from support.hub import TestHub, running_hub, state, tenant_of
from support.hub_process import settings
from support.legacy_client import body_of
from support.postgres import Postgres
from support.redis_server import RedisServer, redis_server
from support.replicas import Replica, health, hubs, on_postgres, ready_until, replicas, retried

from towonel.api.invites import InviteIn
from towonel.api.reports import EdgeReport
from towonel.hub import background
from towonel.hub.app import serve
from towonel.hub.bounds import Bounds
from towonel.hub.core.live_view import STALE_MS
from towonel.hub.live.edge_reports import KNOWN_MS
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import route_history
from towonel.hub.timing import Timing
from towonel.identity.keys import NodeKey
from towonel.identity.signatures import Domain, authorize_node
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Code, Unavailable
from towonel.wire.routes import RouteDelta
from towonel.wire.tokens import EdgeToken, InviteToken

pytestmark = pytest.mark.both_databases

AWAY = ["killed", "hanging"]
FAILED = "route_cache.update_failed"
COUNTERS = ("started_at_ms", "connections_active", "connections_total", "bytes_in", "bytes_out")
NOTHING = EdgeReport.model_validate(
    {"version": "1", "sessions_active": 0, "sessions": [], "tenants": []}
    | dict.fromkeys(COUNTERS, 0)
)


WITHOUT_REDIS = Timing(health_check_s=0.2, redis_retry_s=0.5, redis_ping_s=0.5)
QUICK = replace(WITHOUT_REDIS, database_begin_s=2.5, database_answer_s=1.5)


@pytest.fixture(scope="module")
def own() -> Generator[Postgres]:
    """A server that these tests may stop; each leaves it running."""
    with postgres_server.running() as running:
        yield running


@contextlib.asynccontextmanager
async def away(server: Postgres, how: str) -> AsyncGenerator[None]:
    gone, back = (server.stop, server.start) if how == "killed" else (server.freeze, server.thaw)
    await asyncio.to_thread(gone)
    try:
        yield
    finally:
        await asyncio.to_thread(back)


def dsn_of(server: Postgres) -> str:
    name = server.database().url.database
    assert name
    return server.dsn(name)


async def unavailable(requested: Awaitable[object]) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await requested
    return caught.value


def has(reason: str, status: int) -> Callable[[int, object], bool]:
    return lambda found, reasons: found == status and reason in str(reasons)


def is_well(status: int, reasons: object) -> bool:
    return status == 200 and not reasons


async def published(replica: Replica, *hostnames: str) -> int:
    created = await replica.client.invites.create(InviteIn(hostnames=list(hostnames)))
    tenant = tenant_of(InviteToken.decode(created.token))
    return (await replica.client.apply_desired_state(tenant, state(*hostnames))).revision


@contextlib.asynccontextmanager
async def polling(replica: Replica, since: int) -> AsyncGenerator[asyncio.Task[RouteDelta]]:
    """An edge that waits for a change; the context ends when it got its answer."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(replica.client.follow_routes(replica.node, since, 30))
        await replica.until("towonel_hub_route_waiters", 1)
        yield task


@contextlib.asynccontextmanager
async def without_redis(redis: RedisServer, how: str) -> AsyncGenerator[None]:
    """After the context there is a Redis again: where it was killed, another one on its port."""
    redis.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    yield
    if how == "killed":
        await redis.restart()
    else:
        redis.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("how", AWAY)
async def test_without_redis_all_works_says_so_and_finds_it_again(
    own: Postgres, tmp_path: Path, how: str
) -> None:
    async with redis_server(tmp_path) as redis:
        where = {**on_postgres(dsn_of(own)), "TOWONEL_REDIS_URL": redis.url}
        async with replicas(tmp_path, WITHOUT_REDIS, **where) as (one, two):
            before = await published(one, "a.eu")
            await two.until("towonel_hub_routes_revision", before)
            async with without_redis(redis, how):
                reported = [await replica.ready_until(has("redis", 200)) for replica in (one, two)]
                for replica in (one, two):
                    await replica.until("towonel_hub_redis_connected", 0)
                    await replica.until("towonel_hub_limiter_degraded", 1)
                waiting, changed = await heard(two, before, published(one, "b.eu"))
            for replica in (one, two):
                await replica.ready_until(is_well)
            again, last = await heard(one, changed, published(two, "c.eu"))
            missed = await one.client.follow_routes(one.node, before)

    assert [status for status, _ in reported] == [200, 200]
    assert [route.name for route in (*waiting.routes, *again.routes)] == ["b.eu", "c.eu"]
    assert (missed.revision, len(missed.routes)) == (last, 2)


async def heard(at: Replica, since: int, write: Awaitable[int]) -> tuple[RouteDelta, int]:
    """Return what an edge that waits at one hub gets of a write at another."""
    async with asyncio.timeout(20), polling(at, since) as waiting:
        revision = await write
    return waiting.result(), revision


async def refusals(replica: Replica) -> list[Unavailable]:
    """Ask for what needs a database, many times at once."""
    client = replica.client
    async with asyncio.TaskGroup() as tasks:
        requested = [
            tasks.create_task(unavailable(it))
            for _ in range(4)  # a client has sixteen connections
            for it in (
                client.invites.create(InviteIn(hostnames=["b.eu"])),
                client.invites.list(),
                client.agents.list(),
            )
        ]
    return [task.result() for task in requested]


@pytest.mark.parametrize("how", AWAY)
async def test_without_postgres_edges_are_answered_from_memory(
    own: Postgres, tmp_path: Path, how: str
) -> None:
    async with replicas(tmp_path, QUICK, **on_postgres(dsn_of(own))) as (one, two):
        before = await published(one, "a.eu")
        for replica in (one, two):
            await replica.until("towonel_hub_directory_revision", before)
        async with asyncio.timeout(50), polling(two, before) as waiting:
            async with away(own, how):
                reported = [
                    await replica.ready_until(has("database", 503)) for replica in (one, two)
                ]
                whole = [await r.client.follow_routes(r.node, None) for r in (one, two)]
                quiet = await one.client.follow_routes(one.node, before, 1)
                still_waits = not waiting.done()
            changed = await retried(lambda: published(one, "b.eu"))

    assert all("memory" in reasons["database"] for _, reasons in reported)
    assert [[route.name for route in table.routes] for table in whole] == [["a.eu"]] * 2
    assert (quiet.revision, quiet.snapshot, quiet.routes) == (before, False, ())
    assert still_waits
    assert (waiting.result().revision, waiting.result().snapshot) == (changed, False)


@pytest.mark.parametrize("how", AWAY)
async def test_without_postgres_all_else_is_told_to_come_back_and_can(
    own: Postgres, tmp_path: Path, how: str
) -> None:
    async with replicas(tmp_path, QUICK, **on_postgres(dsn_of(own))) as (one, two):
        async with asyncio.timeout(30), away(own, how):
            for replica in (one, two):
                await replica.until("towonel_hub_database_up", 0)
            refused = await refusals(one)
        for replica in (one, two):
            await replica.ready_until(is_well)
            await replica.client.invites.list()

    assert {error.code for error in refused} == {Code.HUB_UNAVAILABLE}
    assert all(error.retry_after_s for error in refused)


async def cut_off(hub: TestHub, server: Postgres) -> None:
    async with hub.context.store.read() as reader:
        async for _ in route_history.stream_routes(reader, None, rows_at_once=1):
            server.cut_off(str(hub.context.store.engine.url.database))


async def test_a_read_that_a_lost_server_cuts_off_leaves_nothing_behind(own: Postgres) -> None:
    async with running_hub(own.database(), RouteChanges(), timing=QUICK) as hub:
        tenant = tenant_of(await hub.invite("*.a.eu"))
        names = [f"n{number}.a.eu" for number in range(100)]
        await hub.client().apply_desired_state(tenant, state(*names))
        with pytest.raises(Unavailable):
            await cut_off(hub, own)
        garbage.collect()  # which would complain
        listed = await hub.client().tenants.list()

    assert len(listed.tenants) == 1


async def test_a_stranger_learns_nothing_of_a_database_that_is_away(own: Postgres) -> None:
    body = {"invite_id": "A" * 22, "invite_secret": ""}
    async with (
        running_hub(own.database(), RouteChanges(), timing=QUICK) as hub,
        hub.raw() as http,
        away(own, "killed"),
    ):
        answer = await http.post("/v1/bootstrap", json=body)

    assert answer.json()["error"] == {
        "code": "hub_unavailable",
        "message": "the database is away or busy; ask again",
    }


@pytest.mark.parametrize("how", AWAY)
async def test_a_revision_that_cannot_be_read_keeps_no_edge_waiting(
    own: Postgres, how: str
) -> None:
    bounds = Bounds(edge_requests=100)
    async with running_hub(own.database(), RouteChanges(), timing=QUICK, bounds=bounds) as hub:
        client, tenant = hub.client(), tenant_of(await hub.invite("*.eu"))
        first = await client.apply_desired_state(tenant, state("a.eu"))
        await client.follow_routes(hub.context.keys.node, None)
        second = await client.apply_desired_state(tenant, state("b.eu"))
        async with away(own, how):
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                requested = [
                    tasks.create_task(
                        client.follow_routes(hub.context.keys.node, first.revision, 1)
                    )
                    for _ in range(bounds.edge_requests)
                ]
            answers = {replace(task.result(), tag=None, edge_list=None) for task in requested}
        async with asyncio.timeout(20):
            while (await client.follow_routes(hub.context.keys.node, 1)).revision < second.revision:
                await asyncio.sleep(0.05)

    assert answers == {RouteDelta(first.revision, snapshot=False)}


async def test_an_edge_that_knows_more_is_not_set_back_while_postgres_is_away(
    own: Postgres, tmp_path: Path
) -> None:
    async with (
        redis_server(tmp_path) as redis,
        hubs(own.database(), redis.url, timing=QUICK) as (one, two),
    ):
        node, tenant = one.context.keys.node, tenant_of(await one.invite("*.eu"))
        applied = await one.client().apply_desired_state(tenant, state("a.eu"))
        async with away(own, "killed"):
            answer = await two.client().follow_routes(node, applied.revision, 1)

    assert two.context.route_cache.revision < applied.revision
    assert answer == RouteDelta(applied.revision, snapshot=False)


@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("path", ["/v1/routes/feed", "/v1/routes/subscribe"])
async def test_an_edge_that_a_hub_has_not_seen_is_told_to_come_back_while_postgres_is_away(
    own: Postgres, tmp_path: Path, how: str, path: str
) -> None:
    async with (
        redis_server(tmp_path) as redis,
        hubs(own.database(), redis.url, timing=QUICK) as (one, two),
    ):
        edge = EdgeToken.decode((await one.client().edge_invites.create("edge")).token).seed
        header = authorize_node(
            NodeKey.from_seed(edge), Domain.EDGE_SUBSCRIBE, b"", two.clock.now_ms
        )
        with capture_logs() as logs:
            async with away(own, how), two.raw() as http:
                answer = await http.get(path, headers={"authorization": header})
        table = await retried(lambda: two.client().follow_routes(NodeKey.from_seed(edge), None))

    assert body_of(answer) == (503, "hub_unavailable")
    assert answer.headers["retry-after"] == "2"
    assert [bool(one["reason"]) for one in logs if one["event"] == FAILED] == [True]
    assert table.snapshot


async def test_who_is_live_is_told_while_postgres_is_away_until_nobody_knows(
    own: Postgres,
) -> None:
    async with running_hub(own.database(), RouteChanges(), timing=QUICK) as hub:
        reports, node = hub.context.edge_reports, hub.context.keys.node
        await hub.client().report_edge(node, NOTHING)
        await reports.refresh(hub.clock())
        async with away(own, "killed"):
            await reports.refresh(hub.clock() + KNOWN_MS)
            known = set(reports.view.edges)
            refused = await unavailable(reports.refresh(hub.clock() + KNOWN_MS + 1))
        hub.clock.now_ms += STALE_MS
        await retried(lambda: reports.refresh(hub.clock()))

    assert known == {node.public}
    assert refused.code is Code.HUB_UNAVAILABLE


async def test_what_was_noted_and_refused_before_an_outage_is_after_it(own: Postgres) -> None:
    async with running_hub(own.database(), RouteChanges(), timing=QUICK) as hub:
        client, node = hub.client(), hub.context.keys.node
        header = authorize_node(node, Domain.EDGE_SUBSCRIBE, b"", hub.clock() - 1)
        async with hub.raw() as http:
            requested = "/v1/routes/feed", {"authorization": header}
            first = await http.get(requested[0], headers=requested[1])
            async with away(own, "killed"):
                await client.follow_routes(node, None)
                await unavailable(background.flush(hub.context))
                noted = dict(hub.context.edges_seen)
            again = await http.get(requested[0], headers=requested[1])
        await flushed(hub)

    assert (first.status_code, again.json()["error"]["code"]) == (200, "replayed")
    assert noted == {node.public: hub.clock.now_ms}
    assert hub.context.edges_seen == {}


async def flushed(hub: TestHub) -> None:
    async with asyncio.timeout(20):
        while hub.context.edges_seen:
            with contextlib.suppress(Unavailable):
                await background.flush(hub.context)


async def test_a_hub_that_starts_before_its_postgres_waits_for_it(
    own: Postgres, tmp_path: Path
) -> None:
    chosen, stopping = settings(tmp_path / "state", **on_postgres(dsn_of(own))), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        async with away(own, "killed"):
            tasks.create_task(serve(chosen, stopping, QUICK))
            _, reasons = await ready_until(chosen, has("database", 503))
            alive = await health(chosen, "livez")
        await ready_until(chosen, is_well)
        stopping.set()

    assert "waiting for it" in reasons["database"]
    assert alive.is_success


async def test_a_hub_that_waits_for_its_postgres_can_be_stopped(
    own: Postgres, tmp_path: Path
) -> None:
    chosen, stopping = settings(tmp_path / "state", **on_postgres(dsn_of(own))), asyncio.Event()
    async with away(own, "killed"), asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        hub = tasks.create_task(serve(chosen, stopping, QUICK))
        await ready_until(chosen, has("waiting for it", 503))
        stopping.set()

    assert hub.done()


@pytest.mark.parametrize(("right", "wrong"), [("secret", "wrong"), ("/test", "/none")])
async def test_a_postgres_that_refuses_is_a_mistake_in_the_settings(
    own: Postgres, tmp_path: Path, right: str, wrong: str
) -> None:
    chosen = settings(tmp_path / "state", **on_postgres(dsn_of(own).replace(right, wrong)))

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(chosen, asyncio.Event())
    assert caught.group_contains(SettingsError, match="TOWONEL_HUB_DB_DSN: cannot use")
    assert "secret" not in str(caught.value.exceptions)
