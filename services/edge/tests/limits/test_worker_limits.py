"""Limits of tenants at an edge: clients above them are refused, live, whatever worker they come to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import override

import pytest
from support.clients import alert_of, client_hello
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
ROUTES = (
    Route(ServiceKind.HTTPS, "alice.example.eu", ALICE),
    Route(ServiceKind.HTTPS, "bob.example.eu", BOB),
)
HELLO = client_hello("alice.example.eu")
MANY = 20
INTERNAL_ERROR = bytes([21, 3, 3, 0, 2, 2, 80])


class Endless(Upstream):
    """Upstream that never opens a pipe, and counts who came."""

    def __init__(self) -> None:
        self.clients: list[ClientConnection] = []

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        return await asyncio.Future[Pipe]()


class Edge:
    """Edge whose clients all stay, in front of some tenants."""

    def __init__(self, front: Front, table: RouteTable, upstream: Endless) -> None:
        self.front, self.table, self.upstream = front, table, upstream
        self.ports = [front.open_door(link.number) for link in front.plane.links]
        self.held: list[asyncio.StreamWriter] = []

    async def hold(self, count: int, name: str = "alice.example.eu") -> None:
        """Let so many more clients come, in turn to each worker, and wait until all are there."""
        for number in range(count):
            before = len(self.upstream.clients)
            await self.connect(number % len(self.ports), name)
            await until(partial(self.has_more_than, before))

    async def connect(self, worker: int, name: str = "alice.example.eu") -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.ports[worker])
        writer.write(client_hello(name))
        self.held.append(writer)

    def has_more_than(self, count: int) -> bool:
        return len(self.upstream.clients) > count

    async def refuses(self, worker: int = 0) -> bool:
        return await alert_of(self.ports[worker], HELLO) == INTERNAL_ERROR

    def limit(self, limits: TenantLimits, tenant: TenantId = ALICE) -> None:
        delta = RouteDelta(2, snapshot=False, limits={tenant: limits})
        difference = self.table.compare(delta)
        self.table.apply(difference)
        self.front.plane.change_routes(difference, ())

    def release(self) -> None:
        for writer in self.held:
            writer.close()
        self.held.clear()


@contextlib.asynccontextmanager
async def limited(front: StartFront, limits: TenantLimits, workers: int = 1) -> AsyncIterator[Edge]:
    table, upstream = RouteTable(), Endless()
    table.apply(RouteDelta(1, snapshot=True, routes=ROUTES, limits={ALICE: limits}))
    async with front(table, upstream, workers=workers) as made:
        edge = Edge(made, table, upstream)
        yield edge
        edge.release()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_tenant_has_so_many_clients_at_once_in_all_workers_and_others_have_theirs(
    front: StartFront, counted: Counted, workers: int
) -> None:
    async with limited(front, TenantLimits(connections=3), workers) as edge:
        await edge.hold(3)
        for worker in range(workers):
            assert await edge.refuses(worker)
        await edge.hold(4, "bob.example.eu")
        code = "too_many_connections"
        await until(lambda: counted("connections_refused_total", code=code) == workers)
        edge.limit(TenantLimits(connections=4))
        await edge.hold(1)
        assert await edge.refuses()
        edge.limit(NO_LIMITS)
        await edge.hold(2)

    assert counted("connections_refused_total", code="limit_exceeded") == 0


async def test_a_limit_below_what_there_is_ends_nobody_and_admits_nobody(
    front: StartFront, counted: Counted
) -> None:
    async with limited(front, NO_LIMITS) as edge:
        await edge.hold(3)
        edge.limit(TenantLimits(connections=1))
        assert await edge.refuses()
        await until(lambda: counted("active_connections") == 3)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_tenant_gets_so_many_new_clients_a_second_and_others_get_theirs(
    front: StartFront, counted: Counted, workers: int
) -> None:
    async with limited(front, TenantLimits(connection_rate=1), workers) as edge:
        for number in range(MANY):
            await edge.connect(number % workers)
        await edge.hold(4, "bob.example.eu")
        await until(lambda: counted("connections_refused_total", code="rate_limited") > MANY // 2)
        assert any(each.route.tenant_id == ALICE for each in edge.upstream.clients)
        edge.limit(NO_LIMITS)
        await edge.hold(4)
