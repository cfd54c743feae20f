"""TLS lanes of an edge's worker: told from clients by their protocol, on the port that both share."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import override

import pytest
from support.clients import client_hello
from support.edge_front import Front
from support.lane_peers import LanePeer, greet_on
from support.relay import SECRET, SESSION
from support.tls_lanes import client_context, connect_tls, dial_tls_lane, hello_of
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.tunnel.pipe import Pipe
from towonel.wire import lane_open, lanes, proxy
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT)
HELLO = client_hello(NAME)


class NoStreams(Upstream):
    """Upstream that has no streams."""

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        raise Unavailable(Code.NO_AGENT)


def table() -> RouteTable:
    made = RouteTable()
    made.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    return made


@pytest.fixture
async def edge(front: StartFront) -> AsyncIterator[Front]:
    async with front(table(), NoStreams(), has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.01))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        yield edge


@pytest.fixture
async def lane(edge: Front, counted: Counted) -> AsyncIterator[LanePeer]:
    lane = await asyncio.to_thread(dial_tls_lane, ("127.0.0.1", edge.port))
    await until(lambda: counted("lanes_admitted_total", way="tls_lane") == 1)
    with lane.sock:
        yield lane


async def test_a_client_goes_by_a_tls_lane_on_the_port_of_clients(
    edge: Front, lane: LanePeer, counted: Counted
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(HELLO)
    kind, use, payload = await asyncio.to_thread(lane.read_frame)
    head = lanes.encode_head(FrameType.OPEN, use, len(payload))
    assert lane_open.decode(lane.seal.open(use, head, payload)).first == HELLO
    lane.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")

    assert (kind, await reader.readexactly(6)) == (FrameType.OPEN, b"answer")
    await until(lambda: counted("connections_served_total", way="tls_lane") == 1)
    assert counted("connections_served_total", way="lane") == 0
    assert counted("connections_total") == 1  # the lane is no client
    writer.close()


async def test_a_proxy_in_front_of_the_edge_may_carry_lanes(
    front: StartFront, counted: Counted
) -> None:
    async with front(table(), NoStreams(), has_agent=False, proxies=["127.0.0.0/8"]) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.01))
        sock = socket.create_connection(("127.0.0.1", edge.port), timeout=20)
        sock.sendall(proxy.SIGNATURE + bytes([0x20, 0, 0, 0]))
        tls = client_context().wrap_socket(
            sock, server_hostname="e.example.eu", do_handshake_on_connect=False
        )
        await asyncio.to_thread(tls.do_handshake)
        with tls:
            assert tls.selected_alpn_protocol() == "towonel-lane/1"


async def test_a_client_that_offers_the_protocol_among_others_is_a_client(
    edge: Front, counted: Counted
) -> None:
    context = client_context("h2", "towonel-lane/1")
    with pytest.raises(OSError, match=r"(?i)alert|unrecognized"):
        await asyncio.to_thread(connect_tls, ("127.0.0.1", edge.port), context)

    await until(lambda: counted("connections_refused_total", code="no_route") == 1)
    assert counted("lanes_refused_total", code="client_closed") == 0


async def test_a_stranger_who_speaks_the_protocol_gets_no_lane_and_holds_no_place(
    edge: Front, counted: Counted
) -> None:
    with await asyncio.to_thread(connect_tls, ("127.0.0.1", edge.port)) as sock:
        greet_on(sock, b"x" * 16)
        await until(lambda: counted("lanes_refused_total", code="wrong_edge") == 1)

    assert counted("lanes_admitted_total", way="tls_lane") == 0
    await until(lambda: counted("active_connections") == 0)


async def test_a_connection_for_a_session_goes_to_control_and_is_no_client(
    edge: Front, counted: Counted
) -> None:
    offered = asyncio.Queue[tuple[socket.socket, tuple[str, int], bytes]]()
    edge.plane.take_session = lambda *taken: offered.put_nowait(taken)
    hello = hello_of("towonel-session/1")
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(hello)
    async with asyncio.timeout(20):
        sock, address, first = await offered.get()

    with sock:
        assert first == hello
        assert address == writer.get_extra_info("sockname")
        await until(lambda: counted("active_connections") == 0)
        assert counted("connections_total") == 0
    writer.close()


async def test_a_client_of_a_session_without_streams_waits_for_its_first_lane(
    front: StartFront, counted: Counted
) -> None:
    async with front(table(), NoStreams(), has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, has_streams=False))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HELLO)
        await until(lambda: counted("lanes", state="wanted") == 3)  # two, and one for who waits
        lane = await asyncio.to_thread(dial_tls_lane, ("127.0.0.1", edge.port))
        with lane.sock:
            await asyncio.to_thread(lane.read_frame)
            lane.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")
            assert await reader.readexactly(6) == b"answer"
        writer.close()


async def test_a_client_of_a_session_without_streams_or_lanes_is_refused(
    front: StartFront, counted: Counted
) -> None:
    async with front(table(), NoStreams(), has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.01, has_streams=False))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HELLO)
        assert (await reader.read())[:1] == b"\x15"  # an alert
        writer.close()

    assert counted("connections_refused_total", code="no_agent") == 1
