"""Clients of the ports of TCP services: over lanes inside TLS or streams, whoever speaks first."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import override

import pytest
from support.edge_front import Front
from support.lane_peers import LaneKeys, LanePeer, dial_lane_on, read_open
from support.ports import free_port
from support.relay import SECRET, SESSION
from support.tls_lanes import connect_tls
from support.tunnel import until

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire import lanes, proxy
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.proxy import Address
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TENANT, OTHER = TenantId(b"t" * 32), TenantId(b"o" * 32)
POOL = LaneKeys(tls_pool_id(SESSION))


@dataclass
class Recording(Upstream):
    """Upstream that notes its clients, and reaches one end of a pair of sockets, if it has one."""

    origin: socket.socket | None = None
    clients: list[ClientConnection] = field(default_factory=list[ClientConnection])

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        if self.origin is None:
            raise Unavailable(Code.NO_AGENT)
        return SocketPipe(self.origin)


@dataclass
class Edge:
    """Edge with a session that has a TCP service, and its table."""

    front: Front
    table: RouteTable
    port: int
    revision: int = 1

    def route(self, tenant: TenantId = TENANT, name: str = "ssh") -> Route:
        return Route(ServiceKind.TCP, name, tenant, self.port)

    def change(self, **changes: tuple[object, ...]) -> None:
        """Apply what a hub sends: `routes`, `removed`, `blocked`, `unblocked`."""
        self.revision += 1
        delta = self.table.compare(RouteDelta(self.revision, snapshot=False, **changes))  # type: ignore[arg-type]
        change = self.table.apply(delta)
        self.front.plane.change_routes(delta, change.changed)

    def admit(self, secret: bytes = SECRET) -> None:
        plane = self.front.plane
        plane.tell(SessionAdmitted(SESSION, TENANT, secret, 0.01, slot=0))
        plane.tell(SessionServices(SESSION, ["https:app.example.eu", "tcp:ssh"]))

    async def dial(self, door: int = 0) -> LanePeer:
        """Dial a lane of the pool inside TLS."""
        sock = await asyncio.to_thread(connect_tls, ("127.0.0.1", door or self.front.port))
        return await asyncio.to_thread(dial_lane_on, sock, POOL)

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def is_refused(self) -> bool:
        """Connect, and tell whether the connection is reset without a byte."""
        try:
            reader, writer = await self.connect()
            with contextlib.closing(writer):
                await reader.read()
        except ConnectionResetError:
            return True
        return False

    def is_listening(self) -> bool:
        return self.port in self.front.plane.ports.sockets


@contextlib.asynccontextmanager
async def serving(front: StartFront, upstream: Upstream, **options: object) -> AsyncIterator[Edge]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True))
    async with front(table, upstream, has_agent=False, **options) as started:
        edge = Edge(started, table, free_port())
        edge.change(routes=(edge.route(),))
        yield edge


@pytest.fixture
async def edge(front: StartFront) -> AsyncIterator[Edge]:
    async with serving(front, Recording()) as edge:
        edge.admit()
        yield edge


@pytest.fixture
async def lane(edge: Edge, counted: Counted) -> AsyncIterator[LanePeer]:
    lane = await edge.dial()
    await until(lambda: counted("lanes_admitted_total", way="tls_lane") == 1)
    with lane.sock:
        yield lane


async def accept(lane: LanePeer, data: bytes, use: int = 1) -> None:
    head = lanes.encode_head(FrameType.ACCEPT, use, len(data))
    await asyncio.to_thread(lane.sock.sendall, head + data)


async def test_a_server_that_speaks_first_is_heard_at_once(
    edge: Edge, lane: LanePeer, counted: Counted
) -> None:
    reader, writer = await edge.connect()
    opened = await asyncio.to_thread(read_open, lane)
    await accept(lane, b"SSH-2.0-banner")

    assert await reader.readexactly(14) == b"SSH-2.0-banner"
    preamble = opened.preamble
    assert (str(preamble.service), preamble.authority) == ("tcp:ssh", None)
    assert preamble.destination == Address(ip_address("127.0.0.1"), edge.port)
    assert (opened.first, opened.more) == (b"", True)
    writer.write(b"client")
    kind, _, payload = await asyncio.to_thread(lane.read_frame)
    assert (kind, payload) == (FrameType.DATA, b"client")
    writer.close()
    await until(lambda: counted("connections_served_total", way="tls_lane") == 1)
    assert counted("connections_total") == 1


async def test_bytes_that_a_client_sends_before_the_answer_all_arrive(
    edge: Edge, lane: LanePeer
) -> None:
    payload = bytes(range(256)) * 400
    _, writer = await edge.connect()
    writer.write(payload)
    opened = await asyncio.to_thread(read_open, lane)
    await accept(lane, b"")
    received = opened.first
    while len(received) < len(payload):
        received += (await asyncio.to_thread(lane.read_frame))[2]

    assert received == payload
    writer.close()


async def test_a_pool_inside_tls_takes_no_plain_lane(edge: Edge, counted: Counted) -> None:
    sock = socket.create_connection(("127.0.0.1", edge.front.port))
    with sock, pytest.raises(AssertionError, match=str(int(Code.NOT_TLS))):
        await asyncio.to_thread(dial_lane_on, sock, POOL)

    await until(lambda: counted("lanes_refused_total", code="not_tls") == 1)


async def test_a_plain_lane_carries_no_tcp_service(edge: Edge, counted: Counted) -> None:
    sock = socket.create_connection(("127.0.0.1", edge.front.port))
    with sock:
        await asyncio.to_thread(dial_lane_on, sock)
        await until(lambda: counted("lanes", state="idle") == 1)

        assert await edge.is_refused()  # its upstream has no stream
    assert counted("connections_served_total", way="lane") == 0


async def test_without_lanes_a_client_goes_by_stream(front: StartFront) -> None:
    own, other = socket.socketpair()
    own.setblocking(False)
    upstream = Recording(own)
    async with serving(front, upstream) as edge:
        edge.admit(secret=b"")
        reader, writer = await edge.connect()
        other.sendall(b"hello")

        assert await reader.readexactly(5) == b"hello"
        [client] = upstream.clients
        assert (client.server_name, client.route) == (None, edge.route())
        other.close()
        assert await reader.read() == b""
        writer.close()


async def test_a_trusted_proxy_names_the_client_before_anything_else(
    front: StartFront, counted: Counted
) -> None:
    async with serving(front, Recording(), proxies=["127.0.0.0/8"]) as edge:
        edge.admit()
        reader, writer = await edge.connect()
        client = Address(ip_address("203.0.113.7"), 54321)
        local = Address(ip_address("192.0.2.1"), 22)
        header = proxy.encode(proxy.ProxyHeader(client, local, ()))
        writer.write(header[:20])
        await until(lambda: counted("active_connections") == 1)
        writer.write(header[20:] + b"hi")
        await until(lambda: counted("connections_refused_total", code="no_agent") == 1)

        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()


async def test_a_client_nobody_serves_is_reset(edge: Edge, counted: Counted) -> None:
    assert await edge.is_refused()
    await until(lambda: counted("connections_refused_total", code="no_agent") == 1)


async def test_a_client_that_says_nothing_and_ends_gets_its_answer(
    edge: Edge, lane: LanePeer
) -> None:
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", edge.port))
        sock.shutdown(socket.SHUT_WR)
        reader, writer = await asyncio.open_connection(sock=sock)
        assert (await asyncio.to_thread(read_open, lane)).first == b""
        await accept(lane, b"Thursday")
        assert (await asyncio.to_thread(lane.read_frame))[0] is FrameType.END
        await asyncio.to_thread(lane.sock.sendall, lanes.encode_head(FrameType.END, 1, 0))
        assert await reader.read() == b"Thursday"
        writer.close()


async def test_limits_count_clients_of_ports(front: StartFront, counted: Counted) -> None:
    async with serving(front, Recording(), limits=AdmissionLimits(9, 1, 9)) as edge:
        edge.admit()
        lane = await edge.dial()
        with lane.sock:
            first = await edge.connect()
            await asyncio.to_thread(read_open, lane)
            assert await edge.is_refused()
            first[1].close()
    assert counted("connections_refused_total", code="limit_exceeded") == 1


async def test_a_client_is_moved_to_the_worker_that_has_a_lane_for_it(
    front: StartFront, counted: Counted
) -> None:
    async with serving(front, Recording(), workers=2) as edge:
        edge.admit()
        lane = await edge.dial(edge.front.open_door(0))
        await until(lambda: counted("lanes", state="idle") == 1)
        with lane.sock, socket.create_server(("127.0.0.1", 0)) as server:
            reader, writer = await asyncio.open_connection(*server.getsockname())
            edge.front.plane.links[1].accept([server.accept()[0]], edge.port)
            opened = await asyncio.to_thread(read_open, lane)
            await accept(lane, b"hi")
            assert await reader.readexactly(2) == b"hi"
            writer.close()

    assert str(opened.preamble.service) == "tcp:ssh"


async def test_a_port_is_left_with_its_route_and_its_clients_are_cut(
    edge: Edge, lane: LanePeer, counted: Counted
) -> None:
    reader, writer = await edge.connect()
    await asyncio.to_thread(read_open, lane)
    await accept(lane, b"x")
    await reader.readexactly(1)
    edge.change(removed=(edge.route().key,))

    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    await until(lambda: not edge.is_listening() and is_bindable(edge.port))
    await until(lambda: counted("connections_ended_total", code="no_route") == 1)
    writer.close()


async def test_a_port_is_another_tenants_as_soon_as_its_route_is(edge: Edge) -> None:
    edge.change(routes=(edge.route(OTHER),))

    assert await edge.is_refused()  # nobody serves the other one's
    assert edge.is_listening()


async def test_the_edges_own_port_is_no_services(edge: Edge) -> None:
    """Sockets that share a port share its clients: a tenant would get a part of all others'."""
    own = edge.front.port
    edge.change(routes=(Route(ServiceKind.TCP, "evil", OTHER, own),))

    ports = edge.front.plane.ports
    assert own not in ports.sockets
    assert ports.failures[own].code is Code.PORT_IN_USE


async def test_the_port_of_a_blocked_tenant_is_left_and_comes_back(edge: Edge) -> None:
    edge.change(blocked=(TENANT,))
    assert not edge.is_listening()
    edge.change(unblocked=(TENANT,))
    assert edge.is_listening()
    assert await edge.is_refused()


def is_bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
