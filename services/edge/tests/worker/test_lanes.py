"""Clients of a worker on lanes of an agent, which is spoken for byte by byte."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import override

import pytest
from support import lane_peers
from support.clients import alert_of, client_hello
from support.edge_front import Front
from support.lane_peers import LanePeer, dial_lane
from support.relay import ABORT, SECRET, SESSION
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.messages import SessionAdmitted, SessionEnded, SessionServices
from towonel.tunnel.pipe import Pipe
from towonel.wire import lanes
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.lane_open import LaneOpen
from towonel.wire.lanes import FrameType
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
HELLO = client_hello(NAME)
INTERNAL_ERROR = bytes([21, 3, 3, 0, 2, 2, 80])
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT)


@dataclass
class Waiting(Upstream):
    """Upstream whose streams never open, until they are refused."""

    clients: list[ClientConnection] = field(default_factory=list[ClientConnection])
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        self.clients.append(client)
        await self.released.wait()
        raise Unavailable(Code.NO_AGENT)


@dataclass
class Agent:
    """Edge with a session, and lanes that an agent dials to it."""

    edge: Front
    upstream: Waiting
    table: RouteTable
    lanes: list[LanePeer] = field(default_factory=list[LanePeer])

    async def dial(self) -> LanePeer:
        lane = await asyncio.to_thread(dial_lane, ("127.0.0.1", self.edge.port))
        self.lanes.append(lane)
        return lane

    async def connect(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.edge.port)
        writer.write(HELLO)
        return reader, writer


async def read_open(lane: LanePeer, use: int = 1) -> LaneOpen:
    return await asyncio.to_thread(lane_peers.read_open, lane, use)


def accept(lane: LanePeer, data: bytes, use: int = 1) -> None:
    lane.sock.sendall(lanes.encode_head(FrameType.ACCEPT, use, len(data)) + data)


@pytest.fixture
async def agent(front: StartFront, counted: Counted) -> AsyncIterator[Agent]:
    table, upstream = RouteTable(), Waiting()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    async with front(table, upstream, has_agent=False, streams=1) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.01))
        edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
        made = Agent(edge, upstream, table)
        await made.dial()
        await until(lambda: counted("lanes_admitted_total", way="lane") == 1)
        yield made
        upstream.released.set()
        for lane in made.lanes:
            lane.sock.close()


async def test_a_client_goes_by_a_lane_with_its_address_and_first_bytes(
    agent: Agent, counted: Counted
) -> None:
    reader, writer = await agent.connect()
    content = await read_open(agent.lanes[0])
    accept(agent.lanes[0], b"server hello")

    assert await reader.readexactly(12) == b"server hello"
    assert content.first == HELLO
    assert (content.preamble.service, content.preamble.authority) == (ROUTE.service, NAME)
    assert content.preamble.source.port == writer.get_extra_info("sockname")[1]
    await until(lambda: counted("connections_served_total", way="lane") == 1)
    assert counted("lanes", state="in_use") == 1
    writer.close()


async def test_bytes_are_counted_on_both_ways_and_the_lane_is_used_again(
    agent: Agent, counted: Counted
) -> None:
    (lane,) = agent.lanes
    for use in (1, 2):
        reader, writer = await agent.connect()
        await read_open(lane, use)
        accept(lane, b"answer", use)
        lane.sock.sendall(lanes.encode_head(FrameType.END, use, 0))
        assert await reader.read() == b"answer"
        writer.write_eof()
        assert (await asyncio.to_thread(lane.read_frame))[0] is FrameType.END
        writer.close()

    await until(lambda: counted("connections_ended_total", code="normal") == 2)
    assert counted("bytes_in_total") == 2 * len(HELLO)
    assert counted("bytes_out_total") == 2 * len(b"answer")
    await until(lambda: not counted("active_connections"))


def ask_and_end(port: int, lane: LanePeer, use: int) -> FrameType:
    """Ask as a client that ends its bytes at once, and return what comes on the lane after OPEN."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(HELLO)
        client.shutdown(socket.SHUT_WR)
        lane_peers.read_open(lane, use)
        accept(lane, b"answer", use)
        after = lane.read_frame()[0]
        lane.sock.sendall(lanes.encode_head(FrameType.END, use, 0))
        assert lane_peers.receive(client, 6) == b"answer"
    return after


async def test_an_end_that_comes_with_the_first_flight_reaches_the_agent(agent: Agent) -> None:
    for use in range(1, 16):  # it comes before the first read of every other client
        after = await asyncio.to_thread(ask_and_end, agent.edge.port, agent.lanes[0], use)
        assert after is FrameType.END


async def test_bytes_behind_a_full_first_flight_follow_once_it_is_accepted(agent: Agent) -> None:
    (lane,) = agent.lanes
    sent = HELLO + bytes(20_000)
    _, writer = await asyncio.open_connection("127.0.0.1", agent.edge.port)
    writer.write(sent)
    content = await read_open(lane)
    assert (len(content.first), content.more) == (lanes.MAX_FIRST_BYTES, True)
    accept(lane, b"")

    received = content.first
    while len(received) < len(sent):
        received += (await asyncio.to_thread(lane.read_frame))[2]
    assert received == sent
    writer.close()


async def test_an_origin_that_refuses_is_an_alert(agent: Agent, counted: Counted) -> None:
    reader, writer = await agent.connect()
    await read_open(agent.lanes[0])
    agent.lanes[0].sock.sendall(lanes.encode_code(FrameType.REJECT, 1, Code.ORIGIN_REFUSED))

    assert await reader.read() == INTERNAL_ERROR
    await until(lambda: counted("connections_refused_total", code="origin_refused") == 1)
    assert counted("retries_total", code="origin_refused") == 1
    writer.close()


async def test_a_lane_that_is_lost_before_it_accepts_costs_a_retry_on_another(
    agent: Agent, counted: Counted
) -> None:
    second = await agent.dial()
    await until(lambda: counted("lanes", state="idle") == 2)
    reader, writer = await agent.connect()
    await read_open(second)  # the last one that was idle is the first one that is used
    second.sock.close()
    await read_open(agent.lanes[0])
    accept(agent.lanes[0], b"!")

    assert await reader.readexactly(1) == b"!"
    await until(lambda: counted("retries_total", code="session_lost") == 1)
    writer.close()


async def test_a_client_whose_lanes_answer_nothing_is_given_to_control_which_is_told_so(
    agent: Agent, counted: Counted
) -> None:
    await agent.dial()
    await agent.dial()
    await until(lambda: counted("lanes", state="idle") == 3)
    _, writer = await agent.connect()

    await until(lambda: len(agent.upstream.clients) == 1)
    assert agent.upstream.clients[0].lanes_silent
    await until(lambda: counted("retries_total", code="session_silent") == 2)
    assert counted("lanes", state="idle") == 1  # the third is not tried
    writer.close()


async def test_a_client_without_a_lane_is_given_to_control_which_may_be_patient(
    agent: Agent,
) -> None:
    by_lane = await agent.connect()
    await read_open(agent.lanes[0])
    by_stream = await agent.connect()

    await until(lambda: len(agent.upstream.clients) == 1)
    assert not agent.upstream.clients[0].lanes_silent
    for _, writer in (by_lane, by_stream):
        writer.close()


async def test_only_so_many_clients_go_by_streams_while_lanes_are_in_use(
    agent: Agent, counted: Counted
) -> None:
    by_lane = await agent.connect()
    await read_open(agent.lanes[0])
    by_stream = await agent.connect()
    await until(lambda: len(agent.upstream.clients) == 1)
    reader, writer = await agent.connect()

    assert await reader.read() == INTERNAL_ERROR
    await until(lambda: counted("connections_refused_total", code="overloaded") == 1)
    agent.upstream.released.set()
    assert await by_stream[0].read() == INTERNAL_ERROR
    for client in (by_lane, by_stream, (reader, writer)):
        client[1].close()


async def relayed(agent: Agent) -> Streams:
    client = await agent.connect()
    await read_open(agent.lanes[0])
    accept(agent.lanes[0], b"!")
    assert await client[0].readexactly(1) == b"!"
    return client


async def test_a_client_whose_route_goes_is_reset_on_both_sides(
    agent: Agent, counted: Counted
) -> None:
    reader, writer = await relayed(agent)
    delta = RouteDelta(2, snapshot=False, removed=(ROUTE.key,))
    agent.edge.plane.change_routes(delta, agent.table.apply(delta).changed)

    with pytest.raises(ConnectionResetError):
        await reader.read()
    kind, _, payload = await asyncio.to_thread(agent.lanes[0].read_frame)
    assert (kind, lanes.decode_code(payload)) == (FrameType.RESET, Code.NO_ROUTE)
    await until(lambda: counted("connections_ended_total", code="no_route") == 1)
    writer.close()


async def test_a_client_whose_route_is_not_in_a_new_table_is_reset(agent: Agent) -> None:
    reader, writer = await relayed(agent)
    await agent.edge.plane.replace_routes(RouteDelta(2, snapshot=False, removed=(ROUTE.key,)))

    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert agent.table.lookup(Hostname(NAME)) is None
    writer.close()


async def test_a_client_whose_route_is_in_a_new_table_stays(agent: Agent) -> None:
    reader, writer = await relayed(agent)
    more = tuple(replace(ROUTE, name=f"{number}.example.eu") for number in range(1001))
    await agent.edge.plane.replace_routes(RouteDelta(2, snapshot=False, routes=more))
    assert await alert_of(agent.edge.port, client_hello(more[5].name)) != UNRECOGNIZED_NAME
    agent.lanes[0].sock.sendall(lanes.encode_head(FrameType.DATA, 1, 4) + b"last")

    assert await reader.readexactly(4) == b"last"
    writer.close()


async def test_a_session_that_is_lost_lets_its_clients_finish(agent: Agent) -> None:
    reader, writer = await relayed(agent)
    agent.edge.plane.tell(SessionEnded(SESSION, None))
    writer.write(b"more")

    assert (await asyncio.to_thread(agent.lanes[0].read_frame))[2] == b"more"
    agent.lanes[0].sock.sendall(lanes.encode_head(FrameType.DATA, 1, 4) + b"last")
    assert await reader.readexactly(4) == b"last"
    writer.close()


async def test_a_session_that_is_revoked_takes_its_clients_along(agent: Agent) -> None:
    reader, writer = await relayed(agent)
    agent.edge.plane.tell(SessionEnded(SESSION, Code.TENANT_REVOKED))

    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert await asyncio.to_thread(agent.lanes[0].is_closed)
    writer.close()


async def test_a_tenant_that_is_blocked_loses_clients_whose_session_was_lost_before(
    agent: Agent,
) -> None:
    reader, writer = await relayed(agent)
    agent.edge.plane.tell(SessionEnded(SESSION, None))
    delta = RouteDelta(2, snapshot=False, blocked=(TENANT,))
    agent.edge.plane.change_routes(delta, agent.table.apply(delta).changed)

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_client_that_leaves_while_its_lane_is_opened_is_forgotten(
    agent: Agent, counted: Counted
) -> None:
    _, writer = await agent.connect()
    await read_open(agent.lanes[0])
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()

    kind, _, _ = await asyncio.to_thread(agent.lanes[0].read_frame)
    assert kind is FrameType.RESET
    await until(lambda: counted("connections_refused_total", code="client_closed") == 1)
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_lane_counts_as_no_client(agent: Agent, counted: Counted) -> None:
    await until(lambda: counted("lanes", state="idle") == 1)

    assert counted("connections_total") == 0
    assert counted("active_connections") == 0
