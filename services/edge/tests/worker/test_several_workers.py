"""Several workers of one edge: clients find lanes that another one has, and limits count over all."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest
from support.absent_upstream import AbsentUpstream
from support.clients import client_hello
from support.edge_front import Front, StartedWorkers
from support.fork_server import preload, start_worker
from support.lane_peers import LanePeer, dial_lane, read_open
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.core.admission import AdmissionLimits
from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.wire import lanes
from towonel.wire.ids import TenantId
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type StartEdge = Callable[..., AbstractAsyncContextManager["Edge"]]
type Counted = Callable[..., float]
type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

NAME = "app.example.eu"
TENANT = TenantId(b"t" * 32)
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT)
HELLO = client_hello(NAME)
COUNTS = pytest.mark.parametrize("workers", [1, 2, 4])
LANES = 6


@dataclass
class Edge:
    """Edge with a session, and lanes that an agent dials to it."""

    front: Front
    upstream: AbsentUpstream
    doors: list[int]
    lanes: list[LanePeer] = field(default_factory=list[LanePeer])
    clients: list[Streams] = field(default_factory=list[Streams])

    async def dial(self, worker: int) -> None:
        address = ("127.0.0.1", self.doors[worker])
        self.lanes.append(await asyncio.to_thread(dial_lane, address))

    async def connect(self, worker: int, source: str = "127.0.0.1") -> Streams:
        client = await asyncio.open_connection(
            "127.0.0.1", self.doors[worker], local_addr=(source, 0)
        )
        client[1].write(HELLO)
        self.clients.append(client)
        return client

    async def connect_silently(self, worker: int) -> None:
        self.clients.append(await asyncio.open_connection("127.0.0.1", self.doors[worker]))

    def close(self) -> None:
        for lane in self.lanes:
            with contextlib.suppress(OSError):  # it is closed already
                lane.sock.shutdown(socket.SHUT_RDWR)  # which wakes up a thread that reads
            lane.sock.close()
        for _, writer in self.clients:
            writer.close()


@pytest.fixture
def start(front: StartFront, counted: Counted) -> StartEdge:
    @contextlib.asynccontextmanager
    async def start(
        workers: int, lane_count: int = LANES, *, spread: bool = False, **options: object
    ) -> AsyncIterator[Edge]:
        table, upstream = RouteTable(), AbsentUpstream()
        table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
        async with front(table, upstream, has_agent=False, workers=workers, **options) as edge:
            made = Edge(edge, upstream, [edge.open_door(number) for number in range(workers)])
            edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.3, slot=0))
            edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)]))
            for number in range(lane_count):
                await made.dial(number % workers if spread else 0)
            await until(lambda: counted("lanes", state="idle") == lane_count)
            yield made
            made.close()

    return start


def serve_lane(lane: LanePeer, answer: bytes) -> bytes:
    """Accept the lane's first client with an answer, and return what the client sent."""
    content = read_open(lane)
    lane.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, len(answer)) + answer)
    return content.first


@COUNTS
async def test_lanes_of_one_worker_serve_clients_of_another(
    start: StartEdge, counted: Counted, workers: int
) -> None:
    async with start(workers) as edge:
        serving = [
            asyncio.create_task(asyncio.to_thread(serve_lane, lane, b"%02d" % number))
            for number, lane in enumerate(edge.lanes)
        ]
        clients = [await edge.connect(workers - 1) for _ in edge.lanes]
        answers = [await reader.readexactly(2) for reader, _ in clients]
        taken = await asyncio.gather(*serving)
        await until(lambda: counted("lanes", state="in_use") == LANES)

    assert sorted(answers) == [b"%02d" % number for number in range(LANES)]
    assert taken == [HELLO] * LANES
    assert edge.upstream.clients == []
    assert counted("connections_total") == LANES
    assert counted("connections_served_total", way="lane") == LANES


async def test_a_client_that_another_worker_serves_counts_once_as_a_new_one(
    start: StartEdge, counted: Counted
) -> None:
    async with start(2) as edge:
        limits = {TENANT: TenantLimits(connection_rate=2)}
        edge.front.plane.change_routes(RouteDelta(2, snapshot=False, limits=limits), ())
        serving = [
            asyncio.create_task(asyncio.to_thread(serve_or_end, lane)) for lane in edge.lanes
        ]
        for _ in range(2):
            reader, _ = await edge.connect(1)  # whose lanes are all of the other worker
            assert await reader.readexactly(2) == b"ok"
        edge.close()
        await asyncio.gather(*serving)

    assert counted("connections_refused_total", code="rate_limited") == 0


@COUNTS
async def test_as_many_clients_as_the_limit_says_are_served_by_all_workers_together(
    start: StartEdge, counted: Counted, workers: int
) -> None:
    limits = AdmissionLimits(clients=99, per_source=3, per_tenant=4)
    async with start(workers, spread=True, limits=limits) as edge:
        serving = [
            asyncio.create_task(asyncio.to_thread(serve_or_end, each)) for each in edge.lanes
        ]
        for number, source in enumerate(["127.0.0.1"] * 5 + ["127.0.0.2"] * 3):
            reader, _ = await edge.connect(number % workers, source)
            assert await reader.read(1)  # an answer, or an alert

        await until(lambda: counted("connections_served_total", way="lane") == 4)
        await until(lambda: counted("connections_refused_total", code="limit_exceeded") == 4)
        edge.close()
        await asyncio.gather(*serving)


def serve_or_end(lane: LanePeer) -> None:
    with contextlib.suppress(OSError, EOFError):
        serve_lane(lane, b"ok")


@COUNTS
async def test_a_drain_waits_for_clients_of_all_workers(
    start: StartEdge, counted: Counted, workers: int
) -> None:
    async with start(workers) as edge:
        serving = [asyncio.to_thread(serve_lane, lane, b"ok") for lane in edge.lanes]
        for _ in edge.lanes:
            await edge.connect(workers - 1)
        draining = asyncio.create_task(edge.front.drain())
        await asyncio.gather(*serving)
        answers = [await reader.readexactly(2) for reader, _ in edge.clients]
        assert not draining.done()
        edge.close()
        async with asyncio.timeout(10):
            await draining

    assert answers == [b"ok"] * LANES
    assert counted("connections_served_total", way="lane") == LANES


async def test_clients_of_a_worker_that_is_killed_count_no_more(
    start: StartEdge, counted: Counted
) -> None:
    preload()
    workers = StartedWorkers(start_worker("edge"))
    limits = AdmissionLimits(clients=4, per_source=4, per_tenant=4)
    async with start(2, 0, limits=limits, start_worker=workers.start) as edge:
        for number in range(4):
            await edge.connect_silently(number % 2)
        await until(lambda: counted("active_connections") == 4)
        for pid in workers.pids[:2]:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(workers.pids) == 4)
        await until(lambda: counted("active_connections") == 0)
        for number in range(4):
            await edge.connect_silently(number % 2)
        await until(lambda: counted("active_connections") == 4)

    assert counted("connections_refused_total", code="overloaded") == 0


async def test_a_client_that_waits_gets_a_lane_that_another_worker_is_given_meanwhile(
    start: StartEdge, counted: Counted
) -> None:
    async with start(2, 1) as edge:
        serving = asyncio.create_task(asyncio.to_thread(serve_lane, edge.lanes[0], b"1"))
        await edge.connect(0)
        await serving
        reader, _ = await edge.connect(1)  # which has no lane, and waits for 0.95 s
        await edge.dial(0)
        await asyncio.to_thread(serve_lane, edge.lanes[1], b"2")

        assert await reader.readexactly(1) == b"2"
        await until(lambda: counted("connections_served_total", way="lane") == 2)

    assert edge.upstream.clients == []
