"""Peers that end without a word: an agent that is killed, and an edge that is started again."""

import asyncio

import pytest
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.stack import Stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.soak]
ENDED_S = 12.0  # 6 to 8 s on a machine with nothing else to do; QUIC's idle timeout is 30 s
LINKED_S = 15.0  # an agent asks every 5 s, and dials again


async def test_the_clients_of_an_agent_that_is_killed_end_within_seconds(
    fresh_processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    stack = fresh_processes
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    client = Client(stack.edge_port, certificates.client(), hostname)

    async with client.connect() as (reader, writer):
        writer.write(b"echo\nhello")
        assert await reader.readexactly(5) == b"hello"
        await agent.program.kill()
        async with asyncio.timeout(ENDED_S), asyncio.TaskGroup() as tasks:
            refused = tasks.create_task(outcome(client))
            assert await ended(reader)

    assert not refused.result()
    assert await stack.edges[0].metric("towonel_edge_active_sessions") == 0


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the edge has ended the connection, in whichever way."""
    try:
        return await reader.read() == b""
    except OSError:
        return True


async def outcome(client: Client) -> bool:
    """Whether a new client is served."""
    try:
        return await client.ask("name") == b"home\n"
    except OSError:
        return False


async def test_agents_are_back_soon_after_their_edge_was_killed_and_started_again(
    fresh_processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    stack = fresh_processes
    await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
    client = Client(stack.edge_port, certificates.client(), hostname)
    assert await client.ask("name") == b"home\n"
    edge = stack.edges[0]
    await edge.program.kill()
    await stack.restart(edge)

    await until(lambda: outcome(client), LINKED_S)
