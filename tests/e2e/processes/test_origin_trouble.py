"""Origins that are not as their agent expects, with the programs as their users run them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.clients import Client
from support.mounts import Mounts, needs_root, start_agent
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
LIMITS = {"TOWONEL_AGENT_ORIGIN_TIMEOUT_SECS": "2"}
SILENT = "127.9.9.9"


async def test_an_origin_that_does_not_read_the_default_header_is_told_once(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    wanted = {"hostname": hostname, "origin": f"127.0.0.1:{web.plain}"}
    agent = await processes.start_agent(await processes.invite(hostname), wanted)
    client = Client(processes.edge_port, certificates.client(), hostname)

    for _ in range(3):
        with pytest.raises((OSError, EOFError)):
            await client.get()

    counted = partial(agent.metric, "towonel_agent_origin_headers_unread_total")
    await until(lambda: is_three(counted()))
    told = [line for line in agent.program.log().splitlines() if "header_unread" in line]
    assert len(told) == 1
    assert f'"service_key": "https:{hostname}"' in told[0]
    assert '"service": "agent"' in told[0]


async def is_three(metric: Awaitable[float]) -> bool:
    return await metric == 3


@needs_root
async def test_an_origin_whose_name_servers_are_silent_hinders_no_other_and_not_the_end(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, tmp_path: Path
) -> None:
    dead, resolv = f"dead.{hostname}", f"nameserver {SILENT}\noptions timeout:30 attempts:5\n"
    mounts = Mounts(tmp_path, {"/etc/resolv.conf": resolv})
    token, wanted = await processes.invite(hostname, dead), service(dead, 443)
    wanted["origin"] = "nas.example:443"
    with silent_name_server():
        agent = await start_agent(
            processes, mounts, token, service(hostname, web.plain), wanted, **LIMITS
        )
        async with stuck_clients(Client(processes.edge_port, certificates.client(), dead)):
            client = Client(processes.edge_port, certificates.client(), hostname)
            async with asyncio.timeout(5):
                assert await client.get() == b"hello from home\n"
        async with asyncio.timeout(20):
            assert await agent.stop() == 0


@contextlib.asynccontextmanager
async def stuck_clients(client: Client) -> AsyncIterator[None]:
    """Twelve clients that ask for an origin whose name does not resolve."""
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(client.get()) for _ in range(12)]
        yield
        for task in asking:
            assert not task.done()
            task.cancel()


@contextlib.contextmanager
def silent_name_server() -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((SILENT, 53))
        yield
