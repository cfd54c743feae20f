"""Lanes of an agent: its clients come over them, and end as they should; without them by stream."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import AsyncGenerator
from functools import partial

import pytest
from support.clients import Client, client_hello, curl
from support.origins import (
    CHUNK,
    Certificates,
    CommandOrigin,
    Nginx,
    digest,
    expected_digest,
)
from support.programs import OwnProcess, Program
from support.stack import Node, Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
WAYS = ("lane", "tls_lane", "stream")
WAY_OF = {"auto": "lane", "tls": "tls_lane"}
MIB = 1024 * 1024
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(params=WAY_OF)
def mode(request: pytest.FixtureRequest) -> str:
    """What the agent's lanes are: as they are by default, or inside TLS."""
    return str(request.param)


type RawClient = tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]


async def start_agent(stack: Stack, hostname: str, port: int, mode: str = "auto") -> Node[Program]:
    """An agent whose lanes are there."""
    token = await stack.invite(hostname)
    agent = await stack.start_agent(token, service(hostname, port), TOWONEL_AGENT_LANES=mode)

    await agent.reaches(2, "towonel_agent_lanes", state="idle")
    return agent


async def ways(agent: Node[Program]) -> dict[str, float]:
    """How many clients came which way."""
    counted = partial(agent.metric, "towonel_agent_clients_total")
    return {way: await counted(way=way) for way in WAYS}


async def counted(agent: Node[Program], by_lane: int, mode: str) -> None:
    """Wait until so many clients are counted that came over a lane, and check that no other did."""
    way = WAY_OF[mode]

    await agent.reaches(by_lane, "towonel_agent_clients_total", way=way)
    assert await ways(agent) == {**dict.fromkeys(WAYS, 0), way: by_lane}


async def test_clients_come_over_lanes_which_are_used_again(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, mode: str
) -> None:
    agent = await start_agent(processes, hostname, web.plain, mode)
    client = Client(processes.edge_port, certificates.client(), hostname)

    code, output = await curl(client, str(certificates.ca_file))
    pages = [await client.get() for _ in range(20)]

    assert (code, output) == (0, "hello from home\n")
    assert set(pages) == {b"hello from home\n"}
    await counted(agent, 21, mode)
    assert await agent.metric("towonel_agent_lanes_admitted_total") < 10


async def test_large_files_travel_whole_both_ways(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str, mode: str
) -> None:
    agent = await start_agent(processes, hostname, origin.port, mode)
    client = Client(processes.edge_port, certificates.client(), hostname)
    size = 16 * MIB

    async with client.connect() as (reader, writer):
        writer.write(f"source {size}\n".encode())
        down = await digest(reader, size)
    up = await client.ask(f"sink {size}", CHUNK * (size // len(CHUNK)))

    assert down == expected_digest(size)
    assert up.decode().strip() == expected_digest(size)
    await counted(agent, 2, mode)
    for direction in ("edge_to_origin", "origin_to_edge"):
        await agent.reaches(size, "towonel_agent_bytes_total", direction=direction)


@contextlib.asynccontextmanager
async def raw_client(stack: Stack, hostname: str) -> AsyncGenerator[RawClient]:
    """A client that has sent its ClientHello, and the same in bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.edge_port)
    hello = client_hello(hostname)
    writer.write(hello)
    try:
        yield reader, writer, hello
    finally:
        writer.transport.abort()


async def test_resets_travel_both_ways_and_are_counted(
    processes: Stack, hostname: str, mode: str
) -> None:
    arrived = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    server = await asyncio.start_server(
        lambda *streams: arrived.put_nowait(streams), "127.0.0.1", 0
    )
    async with server:
        agent = await start_agent(processes, hostname, server.sockets[0].getsockname()[1], mode)
        async with raw_client(processes, hostname) as (reader, _, hello):
            taken, writer = await arrived.get()
            assert await taken.readexactly(len(hello)) == hello
            writer.write(b"!")
            assert await reader.readexactly(1) == b"!"
            reset(writer)
            assert await is_reset(reader)
        async with raw_client(processes, hostname) as (_, writer, hello):
            taken, _ = await arrived.get()
            await taken.readexactly(len(hello))
            reset(writer)
            assert await is_reset(taken)
        await counted(agent, 2, mode)
        for reason in ("origin_reset", "client_closed"):
            await agent.reaches(1, "towonel_agent_stream_errors_total", reason=reason)


async def is_reset(reader: asyncio.StreamReader) -> bool:
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    return True


def reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def test_without_lanes_clients_come_by_stream(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await processes.invite(hostname)
    agent = await processes.start_agent(
        token, service(hostname, web.plain), TOWONEL_AGENT_LANES="off"
    )
    client = Client(processes.edge_port, certificates.client(), hostname)

    assert await client.has_page()
    assert await ways(agent) == {"lane": 0, "tls_lane": 0, "stream": 1}
    assert workers_of(agent) == []


def workers_of(node: Node[Program]) -> list[int]:
    """The workers of a node."""
    assert isinstance(node.program, OwnProcess)
    return node.program.workers()


async def test_a_killed_worker_is_a_reset_for_its_clients_and_is_replaced(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    agent = await start_agent(processes, hostname, origin.port)
    client = Client(processes.edge_port, certificates.client(), hostname)
    async with client.connect() as (reader, writer):
        writer.write(b"source 100000000\n")
        await reader.readexactly(100)
        (worker,) = workers_of(agent)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(100_000_000)

    async def serves_over_lanes() -> bool:
        with contextlib.suppress(OSError, EOFError):
            return await client.ask("name") == b"home\n" and (await ways(agent))["lane"] >= 2
        return False

    await until(serves_over_lanes)
    assert await agent.metric("towonel_agent_worker_restarts_total") == 1
