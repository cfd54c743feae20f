"""Large route table: worker processes share one, and each that starts has it at once."""

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from support.clients import alert_of, client_hello
from support.edge_front import Front, Nowhere, StartedWorkers
from support.fork_server import preload, start_worker
from support.tunnel import until

from towonel.edge.core.route_table import FEW_ROUTES, RouteTable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]

TENANT = TenantId(b"t" * 32)
SPARE_BYTES = 2 * 1024 * 1024
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
SIZES = pytest.mark.parametrize("size", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])


@pytest.fixture
def workers() -> StartedWorkers:
    preload()
    return StartedWorkers(start_worker("edge"))


def own_bytes(workers: StartedWorkers) -> list[int]:
    """Return the memory of each for objects of its own, files in memory left out."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in workers.pids]
    return [int(each.partition("\nAnonymous:")[2].split()[0]) * 1024 for each in rollups]


def https(name: str) -> Route:
    return Route(ServiceKind.HTTPS, name, TENANT)


async def is_known(port: int, name: str) -> bool:
    return await alert_of(port, client_hello(name)) != UNRECOGNIZED_NAME


async def know_last(ports: list[int], size: int) -> None:
    """Wait until all workers have the table."""
    async with asyncio.timeout(60):
        for port in ports:
            while not await is_known(port, f"{size - 1}.example.eu"):
                await asyncio.sleep(0.01)


def many(size: int) -> RouteDelta:
    routes = (https("*.wild.example.eu"), *(https(f"{n}.example.eu") for n in range(size)))
    return RouteDelta(1, snapshot=True, routes=routes)


@SIZES
async def test_workers_share_a_large_table(
    front: StartFront, workers: StartedWorkers, size: int
) -> None:
    table = RouteTable()
    async with front(
        table, Nowhere(), has_agent=False, workers=2, start_worker=workers.start
    ) as edge:
        ports = [edge.open_door(0), edge.open_door(1)]
        assert not any([await is_known(port, "0.example.eu") for port in ports])
        before = own_bytes(workers)
        await edge.plane.replace_routes(table.compare(many(size)))
        await know_last(ports, size)
        grown = [now - then for now, then in zip(own_bytes(workers), before, strict=True)]

        assert max(grown) < 3 * 2**20
        assert await is_known(ports[0], "a.wild.example.eu")
        assert not await is_known(ports[0], "a.b.wild.example.eu")


@SIZES
async def test_a_worker_that_starts_has_a_large_table_and_what_changed_since(
    front: StartFront, workers: StartedWorkers, size: int
) -> None:
    table = RouteTable()
    async with front(table, Nowhere(), has_agent=False, start_worker=workers.start) as edge:
        await edge.plane.replace_routes(table.compare(many(size)))
        delta = RouteDelta(
            2, snapshot=False, routes=(https("new.example.eu"),), removed=("https:1.example.eu",)
        )
        edge.plane.change_routes(delta, table.apply(delta).changed)
        os.kill(workers.pids[0], signal.SIGKILL)
        await until(lambda: len(workers.pids) == 2)
        await until(lambda: edge.plane.links[0].is_ready)
        port = edge.open_door(0)

        assert await is_known(port, f"{size - 1}.example.eu")
        assert await is_known(port, "new.example.eu")
        assert not await is_known(port, "1.example.eu")


def stop_growing(pid: int) -> None:
    """Let a process map no more memory than a little."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + SPARE_BYTES
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


async def test_a_worker_without_memory_for_an_index_goes_on_by_changes_or_is_replaced(
    front: StartFront, workers: StartedWorkers, counted: Callable[..., float]
) -> None:
    size, table = 60_000, RouteTable()
    async with front(table, Nowhere(), has_agent=False, start_worker=workers.start) as edge:
        await edge.plane.replace_routes(table.compare(many(size)))
        await know_last([edge.open_door(0)], size)
        stop_growing(workers.pids[0])
        for number in range(FEW_ROUTES + 1):
            delta = RouteDelta(2, snapshot=False, routes=(https(f"new-{number}.example.eu"),))
            edge.plane.change_routes(delta, table.apply(delta).changed)
        await until(lambda: counted("route_index_failures_total") == 1)
        assert await is_known(edge.open_door(0), f"new-{FEW_ROUTES}.example.eu")
        assert len(workers.pids) == 1

        await edge.plane.replace_routes(table.compare(many(size + FEW_ROUTES)))
        await until(lambda: len(workers.pids) == 2 and edge.plane.links[0].is_ready)
        assert counted("route_index_failures_total") == 2
        assert await is_known(edge.open_door(0), f"{size + FEW_ROUTES - 1}.example.eu")
