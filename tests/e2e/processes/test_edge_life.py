"""Life of edges beside others: they join, are chosen by agents, are revoked, and their agents follow at once."""

import asyncio
import contextlib
from functools import partial

import pytest
from support import plain_http
from support.clients import Client
from support.origins import Certificates, Nginx
from support.programs import Program
from support.stack import Node, Stack, service, until

from towonel.api.edge_invites import EdgeInviteOut

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SOON_S = 8.0  # an agent asks its hub once a minute by itself


async def invite_edge(stack: Stack, name: str) -> EdgeInviteOut:
    async with stack.operator() as operator:
        return await operator.edge_invites.create(name)


async def has_links(agent: Node[Program], number: int) -> bool:
    return await agent.metric("towonel_agent_links_active") == number


async def says(node: Node[Program], words: str) -> bool:
    return words in (await plain_http.get(node.health_port, "/readyz")).text


async def is_served(edge: Node[Program], certificates: Certificates, hostname: str) -> bool:
    try:
        client = Client(edge.port, certificates.client(), hostname)
        return await client.get() == b"hello from home\n"
    except (OSError, EOFError):
        return False


async def test_an_edge_that_boots_from_its_token_is_linked_to_within_seconds(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    stack = fresh_processes
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))
    assert await has_links(agent, 1)
    made = await invite_edge(stack, "rome")
    edge = await stack.start_edge(made.token, TOWONEL_EDGE_REGION="EU")
    await until(partial(has_links, agent, 2), SOON_S)

    assert await is_served(edge, certificates, hostname)
    async with stack.operator() as operator:
        found = await operator.edges.get(made.edge_node_id)
        invite = await operator.edge_invites.get(made.invite_id)
    assert (found.name, found.region, invite.state) == ("rome", "eu", "used")
    assert await edge.metric("towonel_edge_info", region="eu") == 1


async def test_a_revoked_edge_loses_its_sessions_at_once_and_says_why(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    stack, made = fresh_processes, await invite_edge(fresh_processes, "rome")
    edge = await stack.start_edge(made.token)
    agent = await stack.start_agent(await stack.invite(hostname), service(hostname, web.plain))
    await until(partial(has_links, agent, 2), SOON_S)
    async with Client(edge.port, certificates.client(), hostname).connect() as (reader, _):
        await revoke(stack, made.invite_id, reader)
    await until(partial(says, edge, "its invite was revoked"), SOON_S)
    await until(partial(has_links, agent, 1), SOON_S)

    assert await edge.metric("towonel_edge_active_sessions") == 0
    assert await edge.metric("towonel_edge_ready") == 0
    assert "edge.revoked" in edge.program.log()
    await until(lambda: "edge.removed" in agent.program.log(), SOON_S)
    assert not await is_served(edge, certificates, hostname)
    assert await is_served(stack.edges[0], certificates, hostname)
    await check_next_start(stack, edge)


async def revoke(stack: Stack, invite_id: str, reader: asyncio.StreamReader) -> None:
    """Revoke the invite of an edge; its client ends."""
    async with stack.operator() as operator:
        await operator.edge_invites.revoke(invite_id)
    async with asyncio.timeout(SOON_S):
        with contextlib.suppress(OSError):  # a reset, as of whatever is cut
            assert await reader.read() == b""


async def check_next_start(stack: Stack, edge: Node[Program]) -> None:
    """A revoked edge that is started again serves nobody, from its last routes either."""
    assert await edge.program.stop() == 0
    await stack.restart(edge, wait=False)
    await until(partial(says_later, edge, "its invite was revoked"), SOON_S)
    stack.edges.remove(edge)


async def says_later(node: Node[Program], words: str) -> bool:
    try:
        return await says(node, words)
    except OSError:
        return False


async def test_agents_link_to_the_edges_they_name_and_those_of_their_regions(
    fresh_processes: Stack, web: Nginx, hostname: str
) -> None:
    stack, token = fresh_processes, await fresh_processes.invite(hostname)
    for name, region in (("rome", "eu"), ("ohio", "us")):
        made = await invite_edge(stack, name)
        await stack.start_edge(made.token, TOWONEL_EDGE_REGION=region)
    wanted = service(hostname, web.plain)
    by_region = await stack.start_agent(token, wanted, wait=True, TOWONEL_AGENT_REGIONS="EU")
    by_both = {"TOWONEL_AGENT_REGIONS": "us", "TOWONEL_AGENT_EDGES": "hub, nobody"}
    both = await stack.start_agent(token, wanted, wait=True, **by_both)
    every = await stack.start_agent(token, wanted)
    for agent, number in ((by_region, 1), (both, 2), (every, 3)):
        await until(partial(has_links, agent, number), SOON_S)

    for edge, number in zip(stack.edges, (2, 2, 2), strict=True):  # hub, rome, ohio
        assert await edge.metric("towonel_edge_active_sessions") == number


async def test_an_agent_that_chooses_no_edge_says_so_and_finds_one_that_joins(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    stack, chosen = fresh_processes, {"TOWONEL_AGENT_REGIONS": "asia"}
    token, wanted = await stack.invite(hostname), service(hostname, web.plain)
    agent = await stack.start_agent(token, wanted, wait=False, **chosen)
    await until(partial(says_later, agent, "of the 1 that the hub names TOWONEL_AGENT_EDGES"))
    edge = await stack.start_edge(
        (await invite_edge(stack, "seoul")).token, TOWONEL_EDGE_REGION="asia"
    )
    await until(partial(has_links, agent, 1), 20)

    assert await is_served(edge, certificates, hostname)
