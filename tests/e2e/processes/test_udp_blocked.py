"""UDP blocked between agent and edge: the session goes over TCP, and clients over lanes, until UDP is back."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from support import plain_http
from support.clients import Client
from support.firewall import Firewall
from support.origins import Certificates, CommandOrigin, digest, expected_digest
from support.ports import free_port
from support.programs import Program
from support.stack import Node, Stack, running_stack, service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
MIB = 1024 * 1024


@pytest_asyncio.fixture(loop_scope="module")
async def firewall(tmp_path: Path) -> AsyncIterator[tuple[Stack, Firewall]]:
    """A stack whose edge is behind a firewall, for its agents."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with running_stack(
        "processes", tmp_path, TOWONEL_EDGE_ADVERTISED_ADDRESSES=address
    ) as stack:
        made = Firewall(stack.edge_port)
        async with made.run(port):
            yield stack, made
            await stack.stop_agents()


async def start_agent(stack: Stack, hostname: str, port: int, mode: str) -> Node[Program]:
    token = await stack.invite(hostname)
    agent = await stack.start_agent(token, service(hostname, port), TOWONEL_AGENT_LANES=mode)
    await agent.reaches(2, "towonel_agent_lanes", state="idle")
    return agent


@pytest.mark.parametrize(("mode", "way"), [("auto", "lane"), ("tls", "tls_lane")])
async def test_clients_are_served_over_lanes_and_the_agent_says_why(
    firewall: tuple[Stack, Firewall],
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    mode: str,
    way: str,
) -> None:
    stack, wall = firewall
    agent = await start_agent(stack, hostname, origin.port, mode)
    client = Client(stack.edge_port, certificates.client(), hostname)
    async with client.connect() as (reader, writer):
        writer.write(f"source {8 * MIB}\n".encode())
        assert await digest(reader, 8 * MIB) == expected_digest(8 * MIB)
    answers = [await client.ask("name") for _ in range(10)]

    assert answers == [b"home\n"] * 10
    await agent.reaches(11, "towonel_agent_clients_total", way=way)
    assert await agent.metric("towonel_agent_clients_total", way="stream") == 0
    assert await agent.metric("towonel_agent_links_by_tcp") == 1
    assert await stack.edges[0].metric("towonel_edge_sessions_by_tcp") == 1
    ready = (await plain_http.get(agent.health_port, "/readyz")).text
    assert "1 of 1 links go over TCP" in ready
    assert "is UDP blocked?" in ready
    assert wall.dropped > 0


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["auto", "tls"])
async def test_a_download_over_a_lane_outlives_a_minute_without_udp(
    firewall: tuple[Stack, Firewall],
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    mode: str,
) -> None:
    stack, wall = firewall
    wall.passes_udp = True
    agent = await start_agent(stack, hostname, origin.port, mode)
    client, size, found = (
        Client(stack.edge_port, certificates.client(), hostname),
        64 * MIB,
        sha256(),
    )
    async with client.connect() as (reader, writer):
        writer.write(f"source {size}\n".encode())
        wall.passes_udp = False
        for _ in range(60 * 5):
            found.update(await reader.readexactly(MIB // 8))
            await asyncio.sleep(0.2)
        assert await agent.metric("towonel_agent_links_by_tcp") == 1
        wall.passes_udp = True
        found.update(await reader.readexactly(size - 60 * 5 * MIB // 8))

    assert found.hexdigest() == expected_digest(size)
