"""Outages of the hub: clients, edges and agents do without it."""

import asyncio

import pytest
from support.clients import Client, request
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

from towonel.edge.credentials import CERTIFICATE_FILE

pytestmark = pytest.mark.asyncio(loop_scope="module")
BACK_S = 15.0
LINKED_S = 60.0  # an agent dials again after at most half of it


async def stop_hub(stack: Stack) -> None:
    assert stack.hub
    assert await stack.hub.program.stop() == 0


async def ask_until(client: Client, stop: asyncio.Event) -> int:
    """Ask again and again, on one kept connection and on new ones; the count of answers."""
    answers = 0
    async with client.connect() as retained:
        while not stop.is_set():
            await request(retained, client.hostname)
            await client.get()
            answers += 2
            await asyncio.sleep(0.05)
    return answers


@pytest.mark.parametrize("away_s", [4, pytest.param(60, marks=pytest.mark.soak)])
async def test_a_time_without_the_hub_fails_no_request(
    fresh_processes: Stack,
    web: Nginx,
    certificates: Certificates,
    hostname: str,
    away_s: float,
) -> None:
    await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, web.plain)
    )
    client = Client(fresh_processes.edge_port, certificates.client(), hostname)
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(ask_until(client, stop)) for _ in range(2)]
        await stop_hub(fresh_processes)
        tasks.create_task(set_after(away_s, stop))

    answers = [task.result() for task in clients]
    assert min(answers) > 5 * away_s
    assert fresh_processes.hub
    await fresh_processes.restart(fresh_processes.hub)
    assert await client.get() == b"hello from home\n"


async def set_after(seconds: float, event: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    event.set()


async def test_an_edge_restarted_without_the_hub_serves_from_its_snapshot(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, web.plain)
    )
    client = Client(fresh_processes.edge_port, certificates.client(), hostname)
    await client.get()
    await stop_hub(fresh_processes)

    assert await fresh_processes.edges[0].program.stop() == 0
    await fresh_processes.restart(fresh_processes.edges[0])

    await until(client.has_page, LINKED_S)


async def test_an_agent_started_without_the_hub_waits_and_serves_soon_after_its_return(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    agent = await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, web.plain)
    )
    client = Client(fresh_processes.edge_port, certificates.client(), hostname)
    await stop_hub(fresh_processes)
    assert await agent.program.stop() == 0
    await fresh_processes.restart(agent, wait=False)
    await until(lambda: refused(fresh_processes, client))

    assert fresh_processes.hub
    await fresh_processes.restart(fresh_processes.hub)

    await until(client.has_page, BACK_S)


async def test_an_edge_that_lost_its_certificate_has_its_agents_back_within_seconds(
    fresh_processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    await fresh_processes.start_agent(
        await fresh_processes.invite(hostname), service(hostname, web.plain)
    )
    edge = fresh_processes.edges[0]
    client = Client(edge.port, certificates.client(), hostname)
    await client.get()
    assert await edge.program.stop() == 0
    (fresh_processes.folder / "edge" / CERTIFICATE_FILE).unlink()

    await fresh_processes.restart(edge)

    await until(client.has_page, BACK_S)


async def refused(stack: Stack, client: Client) -> bool:
    return not await client.has_page()
