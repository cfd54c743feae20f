"""Feed of routes: every worker has the routes of control after every message, whenever an index is written."""

import asyncio
import contextlib
import fcntl
import os
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import override

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from support.descriptors import forbid_files, use_up_descriptors
from support.edge_front import AMPLE
from support.limits import share_limits
from support.tunnel import until

from towonel.edge.core.admission import Admission
from towonel.edge.core.route_table import RouteTable
from towonel.edge.data_plane.index_failures import IndexFailures
from towonel.edge.data_plane.index_file import write_index_file
from towonel.edge.data_plane.route_feed import RouteFeed, RouteReader
from towonel.edge.limits.tenant_limits import WorkerLimits
from towonel.edge.metrics import Metrics
from towonel.edge.worker.counters import WorkerCounters
from towonel.edge.worker.messages import Message, RouteIndex, Routes, RoutesFrozen
from towonel.edge.worker.relays import Relays
from towonel.edge.worker.route_memory import SEALS, IndexPager, map_index
from towonel.edge.worker.routing import change_routes
from towonel.relay.loop import Loop
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import Route, RouteDelta

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
FEW = 20
LOOP = Loop()


class Reader(RouteReader):
    """Worker that acts at once on what it is sent."""

    def __init__(self) -> None:
        self.table = RouteTable()
        admission = Admission(AMPLE)
        self.relays = Relays(
            LOOP,
            self.table,
            WorkerLimits(self.table.limits, admission, LOOP, *share_limits()),
            admission,
            WorkerCounters(),
            None,
            check_s=1.0,
            report_crash=lambda _: None,
        )
        self.pager = IndexPager(LOOP)
        self.indexes: list[bool] = []
        self.tables = 0

    @override
    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        assert isinstance(message, Routes | RoutesFrozen | RouteIndex)
        if isinstance(message, RouteIndex):
            self.indexes.append(message.is_new)
        change_routes(self.table, self.relays, self.pager, message, descriptors)
        while self.pager.queued:
            LOOP.run_once()

    @override
    def on_routes(self) -> None:
        self.tables += 1


class Plane:
    """Control of some workers, with a table."""

    def __init__(self) -> None:
        self.table = RouteTable()
        self.readers: list[Reader] = []
        self.registry = CollectorRegistry()
        failures = IndexFailures(Metrics(self.registry))
        self.feed = RouteFeed(self.table, lambda: self.readers, failures, few=FEW, retry_s=0.01)

    def start_reader(self) -> Reader:
        self.readers.append(Reader())
        self.feed.feed(self.readers[-1])
        return self.readers[-1]

    def change(self, *routes: Route, removed: Sequence[int] = (), **fields: bool) -> None:
        keys = tuple(route(number).key for number in removed)
        self.apply(RouteDelta(1, fields.get("snapshot", False), routes, keys))

    def apply(self, delta: RouteDelta) -> None:
        difference = self.table.compare(delta)
        self.table.apply(delta)
        self.feed.send(difference)

    @property
    def failures(self) -> float:
        return self.registry.get_sample_value("towonel_edge_route_index_failures_total") or 0.0

    def check(self) -> None:
        """Look whether all workers have the routes of control."""
        own = content(self.table)
        assert all(content(reader.table) == own for reader in self.readers)


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    made = Plane()
    running = asyncio.create_task(made.feed.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    made.feed.close()


def route(number: int, tenant: TenantId = ALICE) -> Route:
    return Route(ServiceKind.HTTPS, f"{number}.example.eu", tenant)


def routes(*numbers: int) -> tuple[Route, ...]:
    return tuple(map(route, numbers))


def content(table: RouteTable) -> tuple[object, ...]:
    routes = {each.key: each for each in table.snapshot().routes}
    return routes, table.blocked, table.limits, len(table)


def draw_delta(rng: random.Random) -> RouteDelta:
    tenants = (ALICE, BOB)
    return RouteDelta(
        1,
        snapshot=rng.random() < 0.05,
        routes=tuple(
            route(rng.randrange(100), rng.choice(tenants)) for _ in range(rng.randrange(12))
        ),
        removed=tuple(route(rng.randrange(100)).key for _ in range(rng.randrange(6))),
        blocked=tuple(rng.sample(tenants, rng.randrange(2))),
        unblocked=tuple(rng.sample(tenants, rng.randrange(2))),
        limits={rng.choice(tenants): TenantLimits(rng.choice((None, 1, 2)))},
    )


@pytest.mark.parametrize("seed", range(5))
async def test_workers_have_the_routes_of_control_after_any_changes(
    plane: Plane, seed: int
) -> None:
    rng = random.Random(seed)
    plane.start_reader()
    for _ in range(200):
        draw = rng.random()
        if draw < 0.05:
            plane.start_reader()
        elif draw < 0.1:
            await plane.feed.replace(plane.table.compare(draw_delta(rng)))
        else:
            plane.apply(draw_delta(rng))
        plane.check()
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(rng.choice((0, 0.001)))
        plane.check()

    assert {True, False} <= set(plane.readers[0].indexes)
    assert all(reader.tables == 1 for reader in plane.readers)


async def test_an_index_takes_the_place_of_many_changes_and_of_none_since(plane: Plane) -> None:
    reader = plane.start_reader()
    plane.change(*routes(*range(FEW)))
    plane.change(*routes(FEW))
    await asyncio.sleep(0)  # now it is written
    plane.change(route(5, BOB), removed=[6])
    assert reader.indexes == []
    await until(lambda: reader.indexes == [False])

    plane.check()
    assert set(reader.table.layers.recent) == {route(5).key, route(6).key}
    assert reader.table.layers.index is not plane.table.layers.index
    late = plane.start_reader()
    assert late.indexes == [True]
    plane.check()


async def test_a_worker_that_starts_while_an_index_is_written_gets_it_too(plane: Plane) -> None:
    plane.change(*routes(*range(FEW + 1)))
    await asyncio.sleep(0)
    reader = plane.start_reader()
    plane.change(removed=[3])
    await until(lambda: reader.indexes == [False])

    plane.check()


async def test_a_few_changes_need_no_index(plane: Plane) -> None:
    reader = plane.start_reader()
    for number in range(FEW):
        plane.change(route(number))
        await asyncio.sleep(0)
    for number in range(200):
        plane.change(route(1, (ALICE, BOB)[number % 2]))
        await asyncio.sleep(0)

    assert reader.indexes == []


async def test_without_memory_changes_go_on_and_the_index_comes_later(plane: Plane) -> None:
    reader = plane.start_reader()
    with capture_logs() as lines, use_up_descriptors():
        plane.change(*routes(*range(FEW + 1)))
        await until(lambda: plane.failures > 1)
        plane.change(*routes(FEW + 2))
        assert reader.indexes == []
        with pytest.raises(OSError, match="Too many open files"):
            await plane.feed.replace(RouteDelta(2, snapshot=False, removed=(route(1).key,)))
    plane.change(removed=[2])
    await until(lambda: reader.indexes == [False])

    plane.check()
    assert len(plane.table) == FEW + 1
    assert [line["event"] for line in lines] == ["routes.index_failed"]
    assert "Too many open files; raise its limit of open files" in lines[0]["error"]


async def test_failures_are_logged_again_once_an_index_was_made(plane: Plane) -> None:
    plane.start_reader()
    with capture_logs() as lines:
        for number in range(2):
            delta = RouteDelta(2, snapshot=False, routes=routes(number))
            with use_up_descriptors(), pytest.raises(OSError, match="Too many open files"):
                await plane.feed.replace(delta)
            await plane.feed.replace(delta)

    assert [line["event"] for line in lines] == ["routes.index_failed"] * 2


async def test_a_large_change_needs_no_descriptor(plane: Plane) -> None:
    reader = plane.start_reader()
    with forbid_files():
        plane.change(*routes(*range(FEW * 50)))
        plane.check()
        plane.change(removed=range(FEW * 50 - 1))
        plane.check()

    assert len(reader.table) == 1


def count_open_files() -> int:
    """Return how many files in memory of routes this process has."""
    listed = list(Path("/proc/self/fd").iterdir())
    return sum("memfd:routes" in str(path.readlink()) for path in listed if path.is_symlink())


async def test_descriptors_are_closed(plane: Plane) -> None:
    before = count_open_files()
    for number in range(1, 4):
        plane.start_reader()
        plane.change(*routes(*range(number * 100)))
        await until(lambda n=number: len(plane.readers[0].indexes) == n)  # type: ignore[misc]

    assert count_open_files() == before + 1


@pytest.mark.parametrize(
    ("length", "problem"),
    [(0, "is empty"), (20, "not an index"), (-1, "bytes has")],
)
def test_a_file_that_is_not_whole_is_refused(length: int, problem: str) -> None:
    file = write_index_file(None, {each.key: each for each in routes(*range(9))}.items)
    whole = bytes(file.index.data)
    file.close()
    short = os.memfd_create("short", os.MFD_ALLOW_SEALING)
    os.write(short, whole[:length])
    fcntl.fcntl(short, fcntl.F_ADD_SEALS, SEALS)
    with pytest.raises(ProtocolError, match=problem) as caught:
        map_index(short)
    os.close(short)

    assert caught.value.code is Code.MALFORMED


def test_a_file_that_is_no_sealed_index_is_refused() -> None:
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    with pytest.raises(ProtocolError) as caught:
        map_index(loose)
    os.close(loose)

    assert caught.value.detail == "the index of routes is not sealed"
