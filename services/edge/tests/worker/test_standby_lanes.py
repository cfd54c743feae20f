"""Lanes of a standby: they are not for clients of an agent that has none to spare at the moment."""

import asyncio
import select
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
from support.absent_upstream import AbsentUpstream
from support.clients import client_hello
from support.edge_front import Front
from support.lane_peers import OF_TESTS, LanePeer, dial_lane, read_open
from support.relay import SECRET, SESSION
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.worker.messages import SessionAdmitted, SessionServices
from towonel.wire import lanes
from towonel.wire.ids import TenantId
from towonel.wire.lanes import FrameType
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

NAME, TENANT, STANDBY = "app.example.eu", TenantId(b"t" * 32), b"b" * 16
ROUTE = Route(ServiceKind.HTTPS, NAME, TENANT)
type StartFront = Callable[..., AbstractAsyncContextManager[Front]]


@pytest.fixture
def streams() -> AbsentUpstream:
    return AbsentUpstream()


@pytest.fixture
async def edge(front: StartFront, streams: AbsentUpstream) -> AsyncIterator[Front]:
    table = RouteTable()
    table.apply(RouteDelta(1, snapshot=True, routes=(ROUTE,)))
    async with front(table, streams, has_agent=False) as edge:
        edge.plane.tell(SessionAdmitted(SESSION, TENANT, SECRET, 0.01, weight=1))
        edge.plane.tell(SessionAdmitted(STANDBY, TENANT, SECRET, 0.01, group="b", weight=0))
        for session_id in (SESSION, STANDBY):
            edge.plane.tell(SessionServices(session_id, [str(ROUTE.service)]))
        yield edge


@pytest.fixture
def peers(edge: Front) -> Iterator[list[LanePeer]]:
    """Lanes of the active agent and of the standby."""
    found: list[LanePeer] = []
    yield found
    for lane in found:
        lane.sock.close()


async def dial(edge: Front, *session_ids: bytes) -> list[LanePeer]:
    keys = [replace(OF_TESTS, session_id=session_id) for session_id in session_ids]
    return [await asyncio.to_thread(dial_lane, ("127.0.0.1", edge.port), each) for each in keys]


async def connect(edge: Front) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(client_hello(NAME))
    return writer


async def test_a_client_of_an_agent_without_a_free_lane_does_not_go_to_the_standby(
    edge: Front, streams: AbsentUpstream, peers: list[LanePeer], counted: Callable[..., float]
) -> None:
    peers += await dial(edge, SESSION, STANDBY)
    await until(lambda: counted("lanes_admitted_total", way="lane") == 2)
    writers = [await connect(edge)]
    await asyncio.to_thread(read_open, peers[0], 1)
    peers[0].sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 1) + b"x")
    writers.append(await connect(edge))
    await until(lambda: streams.clients)

    assert streams.clients[0].source.port == writers[1].get_extra_info("sockname")[1]
    assert select.select([peers[1].sock], [], [], 0)[0] == []
    for writer in writers:
        writer.close()


async def test_clients_go_to_the_standby_while_the_origin_of_the_other_agent_fails(
    edge: Front, peers: list[LanePeer], counted: Callable[..., float]
) -> None:
    peers += await dial(edge, SESSION, STANDBY)
    await until(lambda: counted("lanes_admitted_total", way="lane") == 2)
    edge.plane.tell(SessionServices(SESSION, [str(ROUTE.service)], failing=True))
    writer = await connect(edge)

    assert await asyncio.to_thread(read_open, peers[1], 1)
    writer.close()
