"""Edge at its limit of open files: it refuses who comes, serves whom it has, and others once there is room."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from support.clients import Client, Streams
from support.origins import Certificates, CommandOrigin
from support.programs import own_processes
from support.stack import Stack, service, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
DESCRIPTORS = 300
CLIENTS = 75  # of half the descriptors, since each has a lane, too
MORE = 20
ROUNDS = 2
ANSWERED_S = 5.0


async def hold(held: contextlib.AsyncExitStack, client: Client) -> Streams | None:
    """Keep a client that the origin has answered; None where it was refused, which has to be at once."""
    try:
        async with asyncio.timeout(ANSWERED_S):
            reader, writer = await held.enter_async_context(client.connect())
            writer.write(b"echo\n")
            await echo(reader, writer)
    except (ssl.SSLError, ConnectionError):
        return None
    return reader, writer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"


async def test_clients_beyond_the_limit_are_refused_at_once_and_those_before_are_served(
    tmp_path: Path, origin: CommandOrigin, certificates: Certificates, hostname: str
) -> None:
    async with own_processes(tmp_path, descriptors=DESCRIPTORS) as runner:
        stack = Stack(runner, tmp_path / "state")
        await stack.start_hub()
        edge = await stack.start_edge(TOWONEL_EDGE_MAX_SOURCE_SHARE="1")
        await stack.start_agent(await stack.invite(hostname), service(hostname, origin.port))
        client = Client(stack.edge_port, certificates.client(), hostname)
        for _ in range(ROUNDS):
            async with contextlib.AsyncExitStack() as held:
                tried = [await hold(held, client) for _ in range(CLIENTS + MORE)]
                served = [streams for streams in tried if streams]
                assert len(served) == CLIENTS
                for reader, writer in served:
                    await echo(reader, writer)
            await until(client.reaches_home)
        assert "accept_failed" not in edge.program.log()
