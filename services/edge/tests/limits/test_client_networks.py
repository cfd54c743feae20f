"""Networks of clients: whom an edge lets through to a service."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_address
from typing import override

import pytest
from support.clients import alert_of, client_hello
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.wire import proxy
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.proxy import Address, ProxyHeader
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
NAME = "app.example.eu"
HELLO = client_hello(NAME)
ACCESS_DENIED = bytes([21, 3, 3, 0, 2, 2, 49])
HERE, ELSEWHERE = "127.0.0.0/8", "192.0.2.0/24"


class Endless(Upstream):
    """Upstream that never opens a pipe, and counts who came."""

    def __init__(self) -> None:
        self.clients: list[ClientConnection] = []

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        return await asyncio.Future[Pipe]()


def table(allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> RouteTable:
    made = RouteTable()
    clients = ClientNetworks(allow, deny)
    route = Route(ServiceKind.HTTPS, NAME, TENANT, clients=clients)
    made.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
@pytest.mark.parametrize(
    ("allow", "deny"), [((), (HERE,)), ((ELSEWHERE,), ()), ((HERE,), ("127.0.0.1/32",))]
)
async def test_a_client_of_a_network_that_is_not_served_gets_an_alert_and_takes_no_place(
    front: StartFront, counted: Counted, host: str, allow: tuple[str, ...], deny: tuple[str, ...]
) -> None:
    upstream = Endless()
    async with front(table(allow, deny), upstream, host=host) as edge:
        assert await alert_of(edge.port, HELLO) == ACCESS_DENIED
        refused = "connections_refused_total"
        await until(lambda: counted(refused, code="client_not_allowed") == 1)
        await until(lambda: counted("active_connections") == 0)

    assert upstream.clients == []


@pytest.mark.parametrize(("source", "served"), [("192.0.2.7", True), ("198.51.100.7", False)])
async def test_behind_a_trusted_proxy_it_is_the_clients_own_address_that_counts(
    front: StartFront, counted: Counted, source: str, *, served: bool
) -> None:
    upstream = Endless()
    async with front(table((ELSEWHERE,)), upstream, proxies=[HERE]) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(header(source) + HELLO)
        refused = "connections_refused_total"
        await until(lambda: upstream.clients or counted(refused, code="client_not_allowed"))
        writer.close()

    assert [str(each.source.ip) for each in upstream.clients] == [source] * served


async def test_networks_change_for_new_clients_and_those_there_are_stay(
    front: StartFront, counted: Counted
) -> None:
    upstream, routes = Endless(), table()
    async with front(routes, upstream) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HELLO)
        await until(lambda: len(upstream.clients) == 1)
        for deny, is_refused in (((HERE,), True), ((), False)):
            delta = RouteDelta(2, snapshot=False, routes=table(deny=deny).snapshot().routes)
            edge.plane.change_routes(delta, routes.apply(delta).changed)
            if is_refused:
                assert await alert_of(edge.port, HELLO) == ACCESS_DENIED
                await until(lambda: counted("active_connections") == 1)
        _, other = await asyncio.open_connection("127.0.0.1", edge.port)
        other.write(HELLO)
        await until(lambda: len(upstream.clients) == 2)
        writer.close()
        other.close()


def header(source: str) -> bytes:
    """PROXY header of a client."""
    address = Address(ip_address(source), 54321)
    return proxy.encode(ProxyHeader(address, address))
