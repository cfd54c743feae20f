"""Upgrade of an edge: a second process takes its listening sockets over, and no client notices."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import pytest_asyncio
from support.arrivals import Arrivals
from support.clients import Client
from support.origins import Certificates, CommandOrigin, expected_digest
from support.ports import free_port
from support.programs import OwnProcess, ProcessRunner, Program
from support.stack import Node, Stack, ready, service, until
from support.tcp_origins import plain_origin, port_service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SIZE = 8 * 1024 * 1024


@pytest_asyncio.fixture(loop_scope="module")
async def client(
    fresh_processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> AsyncIterator[Client]:
    """A client of a service whose agent has lanes."""
    stack = fresh_processes
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    await agent.reaches(2, "towonel_agent_lanes", state="idle")
    yield Client(stack.edge_port, certificates.client(), hostname)


def newest_log(stack: Stack) -> str:
    assert isinstance(stack.runner, ProcessRunner), "programs are processes"
    return stack.runner.programs[-1].log()


async def upgrade(stack: Stack) -> Node[Program]:
    """Start a process that replaces the edge, and wait until the old one has ended well."""
    old = stack.edges[0]
    environ = {**old.environ, "TOWONEL_EDGE_UPGRADE": "true"}
    program = await stack.runner.start("edge", environ)
    assert isinstance(old.program, OwnProcess), "it ends by itself"
    assert await old.program.wait() == 0
    new = Node(program, old.port, old.health_port, environ)
    stack.edges[0] = new
    await ready(new)
    return new


async def upgrade_among(
    stack: Stack,
    ask: Callable[[str], Awaitable[bytes]],
    rate: int,
    settled: int,
    way: str = "lane",
) -> Arrivals:
    """Upgrade while clients come, until so many have been served by the new process."""
    arrivals, done = Arrivals(ask, 1 / rate), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(arrivals.run(tasks, done))
        await until(lambda: len(arrivals.answers) > settled)
        new = await upgrade(stack)
        await new.reaches(settled, "towonel_edge_connections_served_total", way=way)
        done.set()
    return arrivals


async def test_no_client_fails_while_an_edge_is_upgraded(
    fresh_processes: Stack, client: Client
) -> None:
    arrivals = await upgrade_among(fresh_processes, client.ask, rate=20, settled=5)

    assert set(arrivals.answers) == {b"home\n"}
    refused = partial(fresh_processes.edges[0].metric, "towonel_edge_connections_refused_total")
    # An agent that dials a lane may hang up again, since its session has ended.
    assert await refused() == await refused(code="client_closed")


async def test_no_client_of_a_tcp_service_fails_while_an_edge_is_upgraded(
    fresh_processes: Stack, hostname: str
) -> None:
    stack, port = fresh_processes, free_port()

    async def ask(_: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    async with plain_origin(b"home") as origin:
        services = json.dumps([port_service("plain", origin.port, port)])
        token = await stack.invite(hostname)
        await stack.start_agent(token, TOWONEL_AGENT_TCP_SERVICES=services)
        arrivals = await upgrade_among(stack, ask, rate=20, settled=5, way="tls_lane")

    assert set(arrivals.answers) == {b"homeend"}


async def downloaded_during_upgrade(stack: Stack, client: Client) -> str:
    """Return the hash of a download that an upgrade finds under way."""
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        first = await reader.readexactly(1)
        upgrading = asyncio.create_task(upgrade(stack))
        old = stack.edges[0].program
        await until(lambda: "edge.listener_closed" in old.log())
        await until(lambda: "edge.started" in newest_log(stack))
        rest = await reader.readexactly(SIZE - 1)
        writer.close()
        await upgrading
    return hashlib.sha256(first + rest).hexdigest()


async def test_a_download_over_a_lane_outlives_the_upgrade(
    fresh_processes: Stack, client: Client
) -> None:
    assert await downloaded_during_upgrade(fresh_processes, client) == expected_digest(SIZE)


async def test_a_download_over_a_stream_outlives_the_upgrade(
    fresh_processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    stack = fresh_processes
    served = service(hostname, origin.port)
    await stack.start_agent(await stack.invite(hostname), served, TOWONEL_AGENT_LANES="off")
    client = Client(stack.edge_port, certificates.client(), hostname)

    assert await downloaded_during_upgrade(stack, client) == expected_digest(SIZE)


async def test_an_upgrade_without_an_edge_to_replace_is_a_start(fresh_processes: Stack) -> None:
    old = fresh_processes.edges[0]
    assert await old.program.stop() == 0
    old.environ["TOWONEL_EDGE_UPGRADE"] = "true"
    await fresh_processes.restart(old)

    assert await old.metric("towonel_edge_ready") == 1


@pytest.mark.soak
async def test_no_client_of_200_a_second_fails_while_an_edge_is_upgraded(
    fresh_processes: Stack, client: Client
) -> None:
    arrivals = await upgrade_among(fresh_processes, client.ask, rate=200, settled=400)

    assert len(arrivals.answers) > 800
    assert set(arrivals.answers) == {b"home\n"}
