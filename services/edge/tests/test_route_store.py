"""Store of the routes: what the hub sends reaches the table and the data plane, however much it is."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import override

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.descriptors import forbid_files

from towonel.edge.core.balance import Balancer
from towonel.edge.core.route_table import FEW_ROUTES, RouteTable
from towonel.edge.data_plane.index_failures import IndexFailures
from towonel.edge.data_plane.route_feed import RouteFeed
from towonel.edge.metrics import Metrics
from towonel.edge.route_store import RouteObserver, RouteStore
from towonel.edge.sessions import Sessions
from towonel.edge.snapshot import SnapshotFile
from towonel.runtime.admin import Health
from towonel.runtime.lifecycle import GiveUp
from towonel.wire.ids import HubId, TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
MANY = FEW_ROUTES + 1


def routes(begin: int, end: int, tenant: TenantId = ALICE) -> tuple[Route, ...]:
    names = (f"{number}.example.eu" for number in range(begin, end))
    return tuple(Route(ServiceKind.HTTPS, name, tenant) for name in names)


class Observed(RouteObserver):
    """Data plane without workers, which notes what it is told."""

    def __init__(self, table: RouteTable, metrics: Metrics) -> None:
        self.table = table
        self.feed = RouteFeed(table, lambda: (), IndexFailures(metrics))
        self.changes: list[RouteDelta] = []
        self.blocked_before: frozenset[TenantId] | None = None

    @override
    def change_routes(self, delta: RouteDelta, changed: Collection[str]) -> None:
        self.changes.append(delta)

    @override
    async def replace_routes(self, delta: RouteDelta) -> None:
        self.blocked_before = self.table.blocked
        await self.feed.replace(delta)


class Edge:
    """Table of an edge, and what it is changed by."""

    def __init__(self, folder: Path) -> None:
        self.registry, self.table, self.health = CollectorRegistry(), RouteTable(), Health()
        metrics = Metrics(self.registry)
        self.plane = Observed(self.table, metrics)
        self.store = RouteStore(
            self.table,
            Sessions(self.table, Balancer(), metrics),
            self.plane,
            SnapshotFile(folder / "routes"),
            metrics,
            self.health,
        )

    @property
    def counted(self) -> float | None:
        return self.registry.get_sample_value("towonel_edge_routes")

    def owner(self, number: int) -> TenantId | None:
        route = self.table.lookup(Hostname(f"{number}.example.eu"))
        return None if route is None else route.tenant_id


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.plane.feed.close()


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


async def test_a_few_routes_are_a_change_for_workers(edge: Edge) -> None:
    delta = RouteDelta(1, snapshot=True, routes=routes(0, 3))
    await edge.store.take(delta)

    assert edge.plane.changes == [replace(delta, snapshot=False)]
    assert edge.plane.blocked_before is None
    assert edge.table.layers.index is None


async def test_many_routes_come_at_once_and_count_as_one_change(
    edge: Edge, lines: list[EventDict]
) -> None:
    await edge.store.take(RouteDelta(7, snapshot=True, routes=routes(0, MANY), blocked=(BOB,)))

    assert edge.store.loaded.is_set()
    assert (edge.table.revision, len(edge.table), edge.counted) == (7, MANY, MANY)
    assert edge.owner(5) == ALICE
    assert edge.table.layers.index is not None
    assert lines == [
        {
            "event": "routes.changed",
            "log_level": "info",
            "revision": 7,
            "changed": MANY,
            "blocked": [BOB.hex()],
        }
    ]


async def test_there_are_no_routes_until_all_have_come(edge: Edge) -> None:
    delta = RouteDelta(7, snapshot=True, routes=routes(0, MANY), blocked=(BOB,))
    taking = asyncio.create_task(edge.store.take(delta))
    while not edge.table.blocked:
        await asyncio.sleep(0)

    assert not edge.store.loaded.is_set()
    await taking


async def test_a_tenant_is_blocked_before_and_freed_after_many_routes_change(edge: Edge) -> None:
    await edge.store.take(RouteDelta(1, snapshot=True, routes=routes(0, MANY), blocked=(ALICE,)))
    await edge.store.take(
        RouteDelta(
            2, snapshot=False, routes=routes(0, MANY, BOB), blocked=(BOB,), unblocked=(ALICE,)
        )
    )

    assert edge.plane.blocked_before == frozenset({ALICE, BOB})
    assert edge.table.blocked == {BOB}
    assert edge.owner(5) is None


async def test_of_all_routes_only_those_that_differ_are_a_change(edge: Edge) -> None:
    await edge.store.take(RouteDelta(1, snapshot=True, routes=routes(0, MANY), blocked=(BOB,)))
    index = edge.table.layers.index
    again = (*routes(1, MANY), *routes(5000, 5001, BOB))
    await edge.store.take(RouteDelta(2, snapshot=True, routes=again))

    last = edge.plane.changes[-1]
    assert (last.snapshot, last.removed) == (False, ("https:0.example.eu",))
    assert last.routes == routes(5000, 5001, BOB)
    assert last.unblocked == (BOB,)
    assert edge.table.layers.index is index
    assert (edge.owner(0), edge.owner(5000), len(edge.table)) == (None, BOB, MANY)


async def test_a_table_that_shrinks_to_a_few_routes_has_only_these(edge: Edge) -> None:
    await edge.store.take(RouteDelta(1, snapshot=True, routes=routes(0, 3 * MANY)))
    await edge.store.take(RouteDelta(2, snapshot=True, routes=routes(5, 7)))

    assert (len(edge.table), edge.owner(4), edge.owner(5)) == (2, None, ALICE)


async def test_many_routes_are_stored_and_loaded(tmp_path: Path, edge: Edge) -> None:
    edge.store.trust(HubId(b"h" * 32))
    await edge.store.take(RouteDelta(3, snapshot=True, routes=routes(0, MANY), blocked=(BOB,)))
    assert await edge.store.save()
    later = Edge(tmp_path)
    await later.store.load()
    later.plane.feed.close()

    assert (later.table.revision, len(later.table), later.owner(5)) == (3, MANY, ALICE)
    assert later.table.is_blocked(BOB)
    assert later.store.loaded.is_set()


async def test_without_memory_the_routes_stay_and_whoever_is_blocked_is_so(
    edge: Edge, lines: list[EventDict]
) -> None:
    first = RouteDelta(1, snapshot=True, routes=routes(0, 3))
    second = RouteDelta(2, snapshot=True, routes=routes(1, 3 + MANY), blocked=(BOB,))
    assert await edge.store.take(first)
    with forbid_files():
        for _ in range(3):
            assert not await edge.store.take(second)
    degraded = dict(edge.health.reasons)
    revision, owned = edge.table.revision, edge.owner(0)
    assert await edge.store.take(second)

    assert (revision, owned, edge.owner(0)) == (1, ALICE, None)
    assert edge.table.is_blocked(BOB)
    assert "raise its limit of the size of files (ulimit -f" in degraded["route_memory"]
    assert not edge.health.reasons
    assert edge.registry.get_sample_value("towonel_edge_route_index_failures_total") == 3
    assert [line["event"] for line in lines].count("routes.index_failed") == 1


async def test_an_edge_without_memory_for_its_stored_routes_says_what_to_do(
    tmp_path: Path, edge: Edge
) -> None:
    edge.store.trust(HubId(b"h" * 32))
    await edge.store.take(RouteDelta(3, snapshot=True, routes=routes(0, MANY)))
    assert await edge.store.save()
    with forbid_files(), pytest.raises(GiveUp) as caught:
        await Edge(tmp_path).store.load()

    assert str(caught.value).startswith(
        "cannot make a file in memory for the routes of its last run: File too large; raise"
    )
