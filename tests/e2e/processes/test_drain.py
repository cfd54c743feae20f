"""Draining: an edge or agent that is stopped finishes its connections."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from support.clients import Client, Streams
from support.origins import Certificates, CommandOrigin, Nginx
from support.stack import Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
SIZE = 4 * MIB  # four seconds: longer than what happens meanwhile


@pytest.mark.processes
async def test_a_download_outlives_the_stop_and_new_clients_reach_the_second_edge(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    (web.folder / "files" / "big").write_bytes(bytes(SIZE))
    await share_the_port(fresh_processes)
    await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, web.plain)
    )
    await until(lambda: has_session(fresh_processes))
    client = Client(fresh_processes.edge_port, certificates.client(), hostname)

    async with asyncio.TaskGroup() as tasks, on_the_first_edge(fresh_processes, client) as streams:
        reader, writer = streams
        writer.write(f"GET /slow/big HTTP/1.0\r\nHost: {hostname}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        stopped = tasks.create_task(fresh_processes.edges[0].program.stop())
        await until(lambda: draining(fresh_processes))
        pages = [await client.get() for _ in range(20)]
        body = await reader.read(-1)

    assert pages == [b"hello from home\n"] * 20
    assert len(body) == SIZE
    assert stopped.result() == 0


@contextlib.asynccontextmanager
async def on_the_first_edge(stack: Stack, client: Client) -> AsyncIterator[Streams]:
    """Connect until the kernel gives the connection to the first of the edges on this port."""
    while True:
        async with client.connect() as streams:
            if await stack.edges[0].metric("towonel_edge_active_connections") == 1:
                yield streams
                return


async def share_the_port(stack: Stack) -> None:
    """Start a second edge on the public port of the first, with a session port of its own."""
    first = stack.edges[0]
    async with stack.operator() as operator:
        token = (await operator.edge_invites.create(name="second")).token
    spare = await stack.start_edge(token)
    assert await spare.program.stop() == 0
    spare.environ |= {
        "TOWONEL_EDGE_LISTEN_ADDR": f"127.0.0.1:{first.port}",
        "TOWONEL_EDGE_SESSION_LISTEN_ADDR": f"127.0.0.1:{spare.port}",
    }
    await stack.restart(spare)


async def has_session(stack: Stack) -> bool:
    return await stack.edges[1].metric("towonel_edge_active_sessions") == 1


async def draining(stack: Stack) -> bool:
    """The first edge has closed its listener: only the second accepts."""
    return "edge.listener_closed" in stack.edges[0].program.log()


async def test_an_edge_with_nothing_to_finish_stops_with_exit_code_0(
    fresh_processes: Stack,
) -> None:
    assert await fresh_processes.edges[0].program.stop() == 0


async def test_an_agent_told_to_stop_finishes_its_streams(
    stack: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    (web.folder / "files" / "some").write_bytes(bytes(2 * MIB))
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))
    client = Client(stack.edge_port, certificates.client(), hostname)

    async with asyncio.TaskGroup() as tasks, client.connect() as (reader, writer):
        writer.write(f"GET /slow/some HTTP/1.0\r\nHost: {hostname}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        stopped = tasks.create_task(agent.program.stop())
        body = await reader.read(-1)

    assert len(body) == 2 * MIB
    assert stopped.result() == 0


@pytest.mark.processes
async def test_an_agent_that_cuts_a_stream_at_its_deadline_says_so_and_ends_with_75(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    wanted = service(hostname, origin.port)
    agent = await processes.start_agent(
        await processes.invite(hostname), wanted, TOWONEL_AGENT_DRAIN_TIMEOUT_SECS="0.5"
    )
    client = Client(processes.edge_port, certificates.client(), hostname)

    async with client.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        code = await agent.program.stop()

    assert code == 75
    (cut,) = [line for line in agent.program.log().splitlines() if "drain_timed_out" in line]
    assert '"streams": 1' in cut


async def test_an_edge_past_its_deadline_says_so_line_by_line_in_json_and_ends_with_75(
    fresh_processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    edge = fresh_processes.edges[0]
    assert await edge.program.stop() == 0
    edge.environ["TOWONEL_EDGE_DRAIN_TIMEOUT_SECS"] = "0.5"
    await fresh_processes.restart(edge)
    await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, origin.port)
    )
    client = Client(edge.port, certificates.client(), hostname)

    async with client.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        code = await edge.program.stop()
    lines = [json.loads(line) for line in edge.program.log().splitlines()]
    said = {line["event"]: line for line in lines}

    assert code == 75
    assert said["process.stop_requested"]["drain_s"] == 0.5
    assert said["edge.drain_timed_out"]["connections"] == 1
    assert lines[-1]["event"] == "edge.stopped"
