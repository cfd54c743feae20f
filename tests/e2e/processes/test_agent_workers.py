"""Several workers of an agent, and of its edge, in processes of their own."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.clients import Client, Streams
from support.descriptors import links_of
from support.origins import Certificates, CommandOrigin, digest, expected_digest
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS, SIZE = 40, 300_000
ESTABLISHED = "01"


@pytest.fixture(scope="module")
def edge_environ() -> dict[str, str]:
    return {"TOWONEL_EDGE_LISTEN_WORKERS": "2"}


@pytest_asyncio.fixture(loop_scope="module")
async def agent(
    processes: Stack, origin: CommandOrigin, hostname: str
) -> AsyncIterator[Node[Program]]:
    """An agent of two workers, each of which has a lane."""
    token = await processes.invite(hostname)
    node = await processes.start_agent(
        token, service(hostname, origin.port), TOWONEL_AGENT_WORKERS="2"
    )
    await node.reaches(2, "towonel_agent_lanes", state="idle")
    yield node


@pytest.fixture
def client(processes: Stack, certificates: Certificates, hostname: str) -> Client:
    return Client(processes.edge_port, certificates.client(), hostname)


def workers_of(agent: Node[Program]) -> list[int]:
    assert isinstance(agent.program, OwnProcess)
    return agent.program.workers()


def connections_of(pid: int, port: int) -> int:
    """How many connections to a port a process has."""
    opened = {link for _, link in links_of(pid)}
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return sum(
        f"socket:[{fields[9]}]" in opened
        for fields in map(str.split, lines)
        if fields[3] == ESTABLISHED and int(fields[2].partition(":")[2], 16) == port
    )


async def download(client: Client) -> str:
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        return await digest(reader, SIZE)


async def test_clients_of_all_workers_get_their_bytes_over_lanes(
    processes: Stack, agent: Node[Program], client: Client
) -> None:
    (edge,) = processes.edges
    served = "towonel_edge_connections_served_total"
    before = await edge.metric(served, way="lane")

    async def are_counted() -> bool:
        """Whether edge and agent, who count once a second, say the same of all clients."""
        by_lane = await edge.metric(served, way="lane") - before
        at_agent = await agent.metric("towonel_agent_clients_total", way="lane")
        in_all = await agent.metric("towonel_agent_streams_accepted_total")
        carried = await agent.metric("towonel_agent_bytes_total", direction="origin_to_edge")
        return by_lane == at_agent and in_all == 2 * CLIENTS and carried > in_all * SIZE

    found = [await asyncio.gather(*(download(client) for _ in range(CLIENTS))) for _ in (1, 2)]

    assert {one for some in found for one in some} == {expected_digest(SIZE)}
    await until(are_counted)
    await until(lambda: are_shared([connections_of(pid, edge.port) for pid in workers_of(agent)]))
    assert await agent.metric("towonel_agent_worker_restarts_total") == 0


def are_shared(lanes: list[int]) -> bool:
    """Whether no worker has many more lanes than the other."""
    return min(lanes) >= max(lanes) // 2 > 1


async def echoes(streams: Streams, message: bytes) -> bool:
    """Whether the client gets its bytes back; not if its connection is reset."""
    reader, writer = streams
    with contextlib.suppress(ConnectionResetError):
        writer.write(message)
        return await reader.readexactly(len(message)) == message
    return False


async def test_a_worker_that_is_killed_is_a_reset_for_its_own_clients_alone(
    agent: Node[Program], client: Client, origin: CommandOrigin
) -> None:
    async with contextlib.AsyncExitStack() as exits:
        clients = list[Streams]()
        doomed, spared = workers_of(agent)
        while len(clients) < 4 or not all(
            connections_of(pid, origin.port) for pid in (doomed, spared)
        ):
            clients.append(await exits.enter_async_context(client.connect()))
            clients[-1][1].write(b"echo\n")
            assert await echoes(clients[-1], b"%d" % len(clients))
        lost = connections_of(doomed, origin.port)
        os.kill(doomed, signal.SIGKILL)
        await until(lambda: origin.active == len(clients) - lost)
        went_on = [await echoes(each, b"on and on") for each in clients]

        assert went_on.count(False) == lost
        await until(lambda: doomed not in workers_of(agent) and len(workers_of(agent)) == 2)
        (successor,) = set(workers_of(agent)) - {spared}
        await until(lambda: connections_of(successor, client.edge_port))
    assert (
        await asyncio.gather(*(download(client) for _ in range(4))) == [expected_digest(SIZE)] * 4
    )
    assert await agent.metric("towonel_agent_worker_restarts_total") == 1
