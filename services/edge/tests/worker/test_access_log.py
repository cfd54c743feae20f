"""Access log, from connections of a worker to lines."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, override

import pytest
from structlog.testing import capture_logs
from support.absent_upstream import AbsentUpstream
from support.clients import client_hello
from support.edge_front import LINES_PER_SECOND, Front
from support.lane_peers import LanePeer, dial_lane, read_open
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.access_log import AccessLog
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.ids import TenantId
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]
type Line = MutableMapping[str, Any]

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
AGENT = b"a" * 32
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT)
HELLO = client_hello(NAME)
OF_LANE = {
    "event": "client.ended",
    "log_level": "info",
    "hostname": NAME,
    "tenant_id": TENANT.hex(),
    "service_key": str(ROUTE.service),
    "agent_id": AGENT.hex(),
    "way": "lane",
    "code": "normal",
    "bytes_in": len(HELLO),
    "bytes_out": 6,
}


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def start(front: StartFront) -> Callable[..., AbstractAsyncContextManager[Front]]:
    """Starts an edge with a session, whose agent has a lane or none."""

    @contextlib.asynccontextmanager
    async def start(
        upstream: Upstream, *, share: float, secret: bytes = SECRET
    ) -> AsyncIterator[Front]:
        table = RouteTable()
        table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
        async with front(table, upstream, has_agent=False, access_log=share) as edge:
            edge.plane.tell(SessionAdmitted(SESSION, TENANT, secret, 0.01, agent_id=AGENT))
            edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
            yield edge

    return start


def ended(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["event"] == "client.ended"]


async def use_lane(edge: Front, lane: LanePeer) -> tuple[tuple[str, int], str | None]:
    """Carry a client over a lane, and return its address and the trace that its agent was told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(HELLO)
    content = await asyncio.to_thread(read_open, lane)
    lane.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 6) + b"answer")
    lane.sock.sendall(lanes.encode_head(FrameType.END, 1, 0))
    assert await reader.read() == b"answer"
    address = writer.get_extra_info("sockname")
    writer.close()
    return address, content.preamble.traceparent


async def test_a_client_of_a_lane_is_one_line(
    start: StartFront, counted: Counted, lines: list[Line]
) -> None:
    async with start(AbsentUpstream(), share=1.0) as edge:
        lane = await asyncio.to_thread(dial_lane, ("127.0.0.1", edge.port))
        await until(lambda: counted("lanes_admitted_total", way="lane") == 1)
        address, trace = await use_lane(edge, lane)
        await until(lambda: len(ended(lines)) == 1)
        lane.sock.close()

    (line,) = ended(lines)
    times = [line.pop(key) for key in ("hello_ms", "accept_ms", "total_ms")]
    assert 0 <= times[0] <= times[1] <= times[2]
    assert trace == f"00-{line['trace_id']}-{line.pop('trace_id')[16:]}-01"
    assert line == {"peer": f"{address[0]}:{address[1]}", **OF_LANE}


async def test_a_client_that_control_cannot_serve_is_one_line(
    start: StartFront, lines: list[Line]
) -> None:
    upstream = AbsentUpstream()
    async with start(upstream, share=1.0, secret=b"") as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HELLO)
        await reader.read()
        await until(lambda: len(ended(lines)) == 1)
        writer.close()

    (line,) = ended(lines)
    record = upstream.clients[0].record
    assert record is not None
    assert line["trace_id"] == record.trace_id.hex()
    assert (line["code"], line["hostname"], line["bytes_in"]) == ("no_agent", NAME, len(HELLO))
    assert line["hello_ms"] <= line["total_ms"]
    assert not {"way", "agent_id", "accept_ms"} & line.keys()


@dataclass
class Echo(Upstream):
    """Upstream without a tunnel: a TCP connection to an origin."""

    port: int

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        pipe = SocketPipe(socket.create_connection(("127.0.0.1", self.port)))
        await pipe.write(client.first)
        return pipe


async def test_a_client_of_a_stream_is_one_line(
    start: StartFront, lines: list[Line], origin: int, client_tls: ssl.SSLContext
) -> None:
    async with start(Echo(origin), share=1.0, secret=b"") as edge:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", edge.port, ssl=client_tls, server_hostname=NAME
        )
        writer.write(b"hello")
        await reader.readexactly(5)
        writer.close()
        await writer.wait_closed()
        await until(lambda: len(ended(lines)) == 1)

    (line,) = ended(lines)
    assert (line["way"], line["code"], line["tenant_id"]) == ("stream", "normal", TENANT.hex())
    assert line["bytes_in"] > len(HELLO) > 5 < line["bytes_out"]
    assert 0 <= line["hello_ms"] <= line["accept_ms"] <= line["total_ms"]


async def test_refused_clients_are_lines_until_there_are_enough(
    start: StartFront, counted: Counted, lines: list[Line]
) -> None:
    async with start(AbsentUpstream(), share=1.0) as edge:
        for _ in range(3 * LINES_PER_SECOND):
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
        await until(
            lambda: (
                counted("access_lines_dropped_total") + len(ended(lines)) == 3 * LINES_PER_SECOND
            )
        )

    assert counted("access_lines_dropped_total") > 0
    assert {line["code"] for line in ended(lines)} == {"not_tls"}


async def test_no_client_is_a_line_where_that_is_off(
    start: StartFront, counted: Counted, lines: list[Line]
) -> None:
    upstream = AbsentUpstream()
    async with start(upstream, share=0.0, secret=b"") as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HELLO)
        await reader.read()
        await until(lambda: counted("connections_refused_total", code="no_agent") == 1)
        writer.close()

    assert upstream.clients[0].record is None
    assert not ended(lines)


def test_a_share_of_the_connections_is_drawn() -> None:
    draws = iter([0.0, 0.24, 0.25, 0.99])
    access_log = AccessLog(0.25, 10, lambda: next(draws))

    drawn = [access_log.begin() is not None for _ in range(4)]

    assert drawn == [True, True, False, False]


def test_lines_are_taken_in_messages_that_fit() -> None:
    access_log = AccessLog(1.0, 120)
    for _ in range(130):
        record = access_log.begin()
        assert record is not None
        access_log.end(record, Code.NORMAL, 1, 2)

    taken = list(access_log.take())

    assert [len(each.lines) for each in taken] == [50, 50, 20, 0]
    assert [each.dropped for each in taken] == [0, 0, 0, 10]
    assert not list(access_log.take())
