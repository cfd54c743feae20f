"""Relays that are ended from outside: by their route, by silence, by a client that is gone."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import override

import pytest
from support.clients import client_hello
from support.edge_front import Front
from support.network import far_machine
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.relays import Relays
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.timing import ClientTiming
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
QUICK = ClientTiming(unacknowledged_s=0.3, check_s=0.05)
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
CHUNK = bytes(65536)
LOOKS = 12  # as many as take longer than `unacknowledged_s`


def route(name: str, tenant: TenantId = ALICE) -> Route:
    return Route(ServiceKind.HTTPS, name, tenant)


def table(*routes: Route) -> RouteTable:
    made = RouteTable()
    made.apply(RouteDelta(1, snapshot=True, routes=routes))
    return made


class CountingClock:
    """The clock of a registry, which asks it at each look at each relay."""

    looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return time.monotonic()

    async def wait_looks(self, count: int) -> None:
        wanted = self.looks + count
        await until(lambda: self.looks >= wanted)


@dataclass
class Edge:
    """A listener whose relays are watched; `origin` are the far ends of its clients."""

    table: RouteTable
    relays: Relays
    clock: CountingClock
    port: int = 0
    origin: list[socket.socket] = field(default_factory=list[socket.socket])

    async def connect(self, name: str) -> Streams:
        """A client that is relayed: it has got a byte from the origin."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(client_hello(name))
        assert await reader.readexactly(1) == b"!"
        return reader, writer

    def change(self, *routes: Route, removed: tuple[str, ...] = ()) -> None:
        """Do as the hub's changes do."""
        keys = tuple(f"https:{name}" for name in removed)
        revision = (self.table.revision or 0) + 1
        delta = RouteDelta(revision, snapshot=False, routes=routes, removed=keys)
        self.relays.recheck(self.table.apply(delta).changed)


class PairUpstream(Upstream):
    """Upstream whose far ends are the test's, and greet each client with one byte."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.gate = asyncio.Event()
        self.gate.set()

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        await self.gate.wait()
        near, far = socket.socketpair()
        far.setblocking(False)
        far.send(b"!")
        self._edge.origin.append(far)
        return SocketPipe(near)


@pytest.fixture
def upstream(edge: Edge) -> PairUpstream:
    return PairUpstream(edge)


@pytest.fixture
def edge() -> Edge:
    routes = table(route("app.example.eu"), route("web.example.eu"), route("*.example.org"))
    clock = CountingClock()
    return Edge(routes, Relays(routes, timing=QUICK, clock=clock), clock)


@contextlib.asynccontextmanager
async def running(
    front: StartFront, edge: Edge, upstream: Upstream, host: str = "127.0.0.1"
) -> AsyncGenerator[None]:
    async with (
        edge.relays.watch(),
        front(edge.table, upstream, relays=edge.relays, host=host) as started,
    ):
        edge.port = started.port
        yield
    for far in edge.origin:
        far.close()


@pytest.fixture
async def started(front: StartFront, edge: Edge, upstream: PairUpstream) -> AsyncIterator[Edge]:
    async with running(front, edge, upstream):
        yield edge


async def is_served(edge: Edge, number: int, client: Streams) -> bool:
    """Whether what the origin sends still reaches a client."""
    edge.origin[number].send(b"x")
    try:
        async with asyncio.timeout(5):
            return await client[0].read(1) == b"x"
    except ConnectionError:
        return False


async def wait_end(client: Streams) -> None:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await client[0].read() == b""
    client[1].close()


async def test_clients_of_a_route_that_goes_end_and_others_stay(
    started: Edge, counted: Counted
) -> None:
    gone, stays = await started.connect("app.example.eu"), await started.connect("web.example.eu")

    started.change(removed=("app.example.eu",))
    await wait_end(gone)

    assert await is_served(started, 1, stays)
    assert counted("connections_ended_total", code="no_route") == 1
    stays[1].close()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("app.example.eu", route("app.example.eu", BOB)),
        ("app.example.org", route("app.example.org", BOB)),  # more exact than the wildcard
        ("app.example.org", route("*.example.org", BOB)),
    ],
)
async def test_clients_of_a_name_that_changes_its_owner_end(
    started: Edge, name: str, change: Route
) -> None:
    client = await started.connect(name)

    started.change(change)

    await wait_end(client)


async def test_clients_stay_while_their_name_is_its_owners(started: Edge) -> None:
    clients = [await started.connect(name) for name in ("app.example.org", "app.example.eu")]

    started.change(route("app.example.org"), route("*.example.eu"), route("*.example.eu", BOB))
    started.change(removed=("app.example.org", "*.example.eu"))
    started.change(route("new.example.org", BOB), removed=("web.example.eu",))

    for number, client in enumerate(clients):
        assert await is_served(started, number, client)
        client[1].close()


async def test_a_route_that_goes_while_its_upstream_is_opened_is_no_route(
    started: Edge, upstream: PairUpstream, counted: Counted
) -> None:
    upstream.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", started.port)
    writer.write(client_hello("app.example.eu"))
    await until(lambda: counted("connections_total") == 1)
    started.change(removed=("app.example.eu",))
    upstream.gate.set()

    assert await reader.read() == UNRECOGNIZED_NAME
    writer.close()


async def test_a_client_that_is_idle_for_too_long_ends_and_a_busy_one_stays(
    front: StartFront, edge: Edge, upstream: PairUpstream, counted: Counted
) -> None:
    edge.relays = Relays(edge.table, idle_s=0.3, timing=QUICK, clock=time.monotonic)
    async with running(front, edge, upstream):
        idle, busy = [await edge.connect("app.example.eu") for _ in range(2)]
        ending = asyncio.ensure_future(wait_end(idle))
        while not ending.done():
            assert await is_served(edge, 1, busy)
        await ending
        busy[1].close()

    assert counted("connections_ended_total", code="client_timeout") == 1


async def test_an_idle_client_stays_where_there_is_no_limit(started: Edge) -> None:
    client = await started.connect("app.example.eu")
    await started.clock.wait_looks(LOOKS)

    assert await is_served(started, 0, client)
    client[1].close()


async def test_a_client_that_pauses_reading_stays_and_gets_all_bytes(started: Edge) -> None:
    sock = socket.create_connection(("127.0.0.1", started.port))
    sock.sendall(client_hello("app.example.eu"))
    await until(lambda: started.origin)
    loop = asyncio.get_running_loop()
    sending = asyncio.ensure_future(loop.sock_sendall(started.origin[0], CHUNK * 400))
    await started.clock.wait_looks(LOOKS)
    assert not sending.done()

    sock.setblocking(False)
    received = 0
    async with asyncio.timeout(20):
        while received < 1 + 400 * len(CHUNK):
            received += len(await loop.sock_recv(sock, 1 << 20))
    await sending
    sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
async def test_a_client_whose_network_vanishes_ends_once_it_owes_an_acknowledgement(
    front: StartFront, edge: Edge, upstream: PairUpstream, counted: Counted
) -> None:
    with far_machine() as machine:
        async with running(front, edge, upstream, host=machine.near):
            with machine.connect(edge.port) as sock:
                sock.send(client_hello("app.example.eu"))
                await asyncio.get_running_loop().sock_recv(sock, 1)
                machine.vanish()
                edge.origin[0].send(b"into the void")

                await until(lambda: counted("connections_ended_total", code="client_timeout") == 1)


async def test_the_kernel_probes_idle_clients(started: Edge) -> None:
    _, writer = await started.connect("app.example.eu")
    (relay,) = started.relays._relays
    options = [
        relay.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        relay.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        relay.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    ]
    writer.close()

    assert options == [1, 60, 0]
