"""Several workers of an edge in processes of their own, with an agent and its lanes."""

import asyncio
from pathlib import Path

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin, digest, expected_digest
from support.stack import Stack, running_stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
WORKERS, CLIENTS, SIZE = 4, 40, 300_000


async def download(client: Client) -> str:
    async with client.connect() as (reader, writer):
        writer.write(f"source {SIZE}\n".encode())
        return await digest(reader, SIZE)


async def settled(stack: Stack) -> bool:
    """Whether nobody is served any more, and every lane is idle."""
    edge = stack.edges[0]
    active = await edge.metric("towonel_edge_active_connections")
    return not active and not await edge.metric("towonel_edge_lanes", state="in_use")


async def are_counted(stack: Stack) -> bool:
    """Whether edge and agent, who count once a second, say the same of all clients."""
    (edge,), (agent,) = stack.edges, stack.agents
    by_lane = await edge.metric("towonel_edge_connections_served_total", way="lane")
    at_agent = await agent.metric("towonel_agent_clients_total", way="lane")
    in_all = await agent.metric("towonel_agent_streams_accepted_total")
    return by_lane == at_agent and in_all == 2 * CLIENTS


async def test_clients_of_all_workers_get_their_bytes_over_lanes(
    tmp_path: Path, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    environ = {"TOWONEL_EDGE_LISTEN_WORKERS": str(WORKERS)}
    async with running_stack("processes", tmp_path, **environ) as stack:
        token = await stack.invite(hostname)
        agent = await stack.start_agent(token, service(hostname, origin.port))
        await agent.reaches(WORKERS, "towonel_agent_lanes", state="idle")
        client = Client(stack.edge_port, certificates.client(), hostname)
        found = [await asyncio.gather(*(download(client) for _ in range(CLIENTS))) for _ in (1, 2)]
        assert {one for some in found for one in some} == {expected_digest(SIZE)}
        await until(lambda: settled(stack))
        await until(lambda: are_counted(stack))
        assert await stack.edges[0].metric("towonel_edge_worker_restarts_total") == 0
        await stack.stop_agents()
