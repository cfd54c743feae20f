"""Worker of an edge in a process of its own: what its death, and that of its control, cost."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.clients import Client
from support.origins import Certificates, CommandOrigin, digest, expected_digest
from support.programs import OwnProcess
from support.stack import Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIZE = 64 * 1024 * 1024


@pytest_asyncio.fixture(loop_scope="module")
async def client(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> AsyncIterator[Client]:
    """A client of a service whose agent has lanes."""
    stack = processes
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))

    async def has_lanes() -> bool:
        return await agent.metric("towonel_agent_lanes", state="idle") >= 2

    await until(has_lanes)
    yield Client(stack.edge_port, certificates.client(), hostname)


def edge_of(stack: Stack) -> OwnProcess:
    program = stack.edges[0].program
    assert isinstance(program, OwnProcess), "it has a process to be killed"
    return program


async def test_a_worker_that_is_killed_resets_its_clients_and_the_next_one_serves(
    processes: Stack, client: Client
) -> None:
    (pid,) = edge_of(processes).workers()
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        await reader.readexactly(100_000)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            await digest(reader, SIZE - 100_000)

    async def is_served() -> bool:
        try:
            return await client.ask("name") == b"home\n"
        except OSError:
            return False

    await until(is_served)
    assert await processes.edges[0].metric("towonel_edge_worker_restarts_total") == 1


async def test_a_download_outlives_the_control_of_its_worker(
    processes: Stack, client: Client
) -> None:
    edge = edge_of(processes)
    (pid,) = edge.workers()
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        async with asyncio.timeout(20):
            first = await reader.readexactly(1)
            await edge.kill()
            rest = await reader.readexactly(SIZE - 1)

    assert hashlib.sha256(first + rest).hexdigest() == expected_digest(SIZE)
    await until(lambda: not Path(f"/proc/{pid}").exists())
    await processes.restart(processes.edges[0])


async def test_several_workers_share_the_clients_of_an_edge(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    stack = processes
    edge = stack.edges[0]
    await edge.program.stop()
    edge.environ["TOWONEL_EDGE_LISTEN_WORKERS"] = "2"
    await stack.restart(edge)
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    client = Client(stack.edge_port, certificates.client(), hostname)

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(client.ask("name")) for _ in range(40)]

    assert {task.result() for task in asked} == {b"home\n"}
    assert len(edge_of(stack).workers()) == 2
    await edge.reaches(40, "towonel_edge_connections_ended_total", code="normal")
    assert await edge.metric("towonel_edge_worker_restarts_total") == 0
