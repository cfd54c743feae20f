"""Streams under stress: half-closes and resets, many at once."""

import asyncio
import random

import pytest
from support.clients import Client, client_hello
from support.origins import CHUNK, Certificates, CommandOrigin, expected_digest
from support.stack import Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def converse(client: Client, seed: int) -> str:
    """One connection with a random ending; what it saw, or how it ended."""
    rng = random.Random(seed)
    size = rng.randrange(1, 200_000)
    mine = rng.randbytes(size)
    match rng.choice(["echo", "sink", "reset", "source"]):
        case "sink":
            seen = await client.ask(
                f"sink {size}", CHUNK * (size // len(CHUNK)) + CHUNK[: size % len(CHUNK)]
            )
            return "ok" if seen.decode().strip() == expected_digest(size) else "lost"
        case "source":
            seen = await client.ask(f"source {size}")
            return "ok" if len(seen) == size and seen[:9] == CHUNK[: min(9, size)] else "lost"
        case "reset":
            async with client.connect() as (reader, writer):
                writer.write(b"echo\n" + mine)
                await reader.read(rng.randrange(1, 5_000))
            return "reset"
        case _:
            async with client.connect() as (reader, writer):
                writer.write(b"echo\n" + mine)
                seen = await reader.readexactly(size)
            return "ok" if seen == mine else "leaked"


@pytest.mark.parametrize("count", [80, pytest.param(200, marks=pytest.mark.soak)])
async def test_many_streams_with_random_endings_lose_and_leak_nothing(
    processes: Stack, origin: CommandOrigin, certificates: Certificates, hostname: str, count: int
) -> None:
    token = await processes.invite(hostname)
    agent = await processes.start_agent(token, service(hostname, origin.port))
    client = Client(processes.edge_port, certificates.client(), hostname)

    async with asyncio.TaskGroup() as tasks:
        all_ = [tasks.create_task(converse(client, seed)) for seed in range(count)]

    assert {task.result() for task in all_} == {"ok", "reset"}

    async def nothing_left() -> bool:
        active = await processes.edges[0].metric("towonel_edge_active_connections")
        streams = await agent.metric("towonel_agent_streams_active")
        return active == 0 and streams == 0 and origin.active == 0

    await until(nothing_left)
    assert await client.ask("name") == b"home\n"


async def test_a_half_close_by_either_side_leaves_the_other_direction_open(
    stack: Stack, certificates: Certificates, hostname: str
) -> None:
    """TLS hides the half-close, so the bytes under it are what is closed here."""
    halves: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        halves.append(await reader.read(-1))
        writer.write(b"after your end")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await stack.start_agent(await stack.invite(hostname), service(hostname, port))
    hello = client_hello(hostname)

    reader, writer = await asyncio.open_connection("127.0.0.1", stack.edge_port)
    writer.write(hello + b"more")
    writer.write_eof()
    answer = await reader.read(-1)

    assert halves == [hello + b"more"]
    assert answer == b"after your end"
    writer.close()
    server.close()
