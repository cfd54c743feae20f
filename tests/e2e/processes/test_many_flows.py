"""As many flows as an edge and its agent take, and one more."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from functools import partial
from itertools import count

import pytest
from support.ports import free_port
from support.stack import Stack, until
from support.tcp_origins import port_service
from support.udp_origins import UdpClient, UdpOrigin, is_answered, udp_origin

FLOWS = 4096
FIRST_PORT, OF_ONE = 20_000, 200  # clients of one address: a quarter of all flows may be of one
ACTIVE, ENDED = "towonel_edge_active_flows", "towonel_edge_flows_ended_total"


class Crowd:
    """Clients of one service, each of an address or port of its own."""

    def __init__(self, port: int, origin: UdpOrigin) -> None:
        self._port = port
        self._origin = origin
        self._numbers = count()
        self._exits = contextlib.ExitStack()

    def add(self) -> UdpClient:
        """Return another client."""
        number = next(self._numbers)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._exits.callback(sock.close)
        sock.setblocking(False)
        sock.bind((f"127.7.0.{1 + number // OF_ONE}", FIRST_PORT + number % OF_ONE))
        sock.connect(("127.0.0.1", self._port))
        return UdpClient(sock)

    async def begin(self) -> None:
        """Begin the flow of another client, which then stays silent."""
        client = self.add()
        assert await client.ask(b"x") == b"x"
        client.sock.close()

    async def find_flow(self, client: UdpClient, data: bytes) -> tuple[str, int]:
        """Return which flow of the agent a client has, as its origin sees it."""
        assert await client.ask(data) == data
        [peer] = [peer for peer, got in self._origin.received.items() if data in got]
        return peer

    def close(self) -> None:
        """Close all sockets."""
        self._exits.close()


@pytest.fixture
async def crowd(fresh_processes: Stack) -> AsyncIterator[Crowd]:
    token, port = await fresh_processes.invite("many.example.eu"), free_port()
    async with udp_origin() as origin:
        echo = port_service("echo", origin.port, port, idle_timeout_secs=3600)
        await fresh_processes.start_agent(token, TOWONEL_AGENT_UDP_SERVICES=json.dumps([echo]))
        await until(partial(is_answered, port))
        made = Crowd(port, origin)
        yield made
        made.close()


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_one_flow_more_than_there_may_be_ends_the_one_that_was_idle_for_longest(
    fresh_processes: Stack, crowd: Crowd
) -> None:
    edge, agent = fresh_processes.edges[0], fresh_processes.agents[0]
    await edge.reaches(1, "towonel_edge_datagrams_out_total")  # with which all flows are counted
    older = int(await edge.metric(ACTIVE))
    busy, idle = crowd.add(), crowd.add()
    flows = await crowd.find_flow(busy, b"busy 1"), await crowd.find_flow(idle, b"idle 1")
    for _ in range(FLOWS - older - 2):
        await crowd.begin()
    assert await crowd.find_flow(busy, b"busy 2") == flows[0]
    await edge.reaches(FLOWS, ACTIVE)
    assert await edge.metric(ENDED, code="limit_exceeded") == 0
    for _ in range(older + 1):  # those of questions whether there is an answer go first
        await crowd.begin()

    await edge.reaches(older + 1, ENDED, code="limit_exceeded")
    assert await edge.metric(ACTIVE) == FLOWS
    await agent.reaches(FLOWS, "towonel_agent_active_flows")
    assert await crowd.find_flow(busy, b"busy 3") == flows[0]
    assert await crowd.find_flow(idle, b"idle 2") != flows[1]
