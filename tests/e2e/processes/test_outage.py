"""The hub is away; nobody out on the internet notices."""

import asyncio

import pytest
from e2e.processes.conftest import HOSTNAME
from support.clients import Client, request
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

AWAY_S = 60.0
BACK_S = 15.0
LINKED_S = 60.0  # an agent dials again after at most half of it


async def hub_away(stack: Stack) -> None:
    assert stack.hub
    assert await stack.hub.program.stop() == 0


async def traffic(client: Client, stop: asyncio.Event) -> int:
    """Ask again and again, on one kept connection and on new ones; the count of answers."""
    answers = 0
    async with client.connect() as kept:
        while not stop.is_set():
            await request(kept, client.hostname)
            await client.get()
            answers += 2
            await asyncio.sleep(0.02)
    return answers


@pytest.mark.processes
async def test_a_minute_without_the_hub_fails_no_request(
    processes: Stack, web: Nginx, certificates: Certificates
) -> None:
    await processes.start_agent(await processes.invite(HOSTNAME), service(HOSTNAME, web.plain))
    client = Client(processes.edge_port, certificates.client(), HOSTNAME)
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(traffic(client, stop)) for _ in range(4)]
        await hub_away(processes)
        tasks.create_task(after(AWAY_S, stop))

    answers = [task.result() for task in clients]
    assert min(answers) > 100
    assert processes.hub
    await processes.restart(processes.hub)
    assert await client.get() == b"hello from home\n"


async def after(seconds: float, event: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    event.set()


async def test_an_edge_restarted_without_the_hub_serves_from_its_snapshot(
    stack: Stack, web: Nginx, certificates: Certificates
) -> None:
    await stack.start_agent(await stack.invite(HOSTNAME), service(HOSTNAME, web.plain))
    client = Client(stack.edge_port, certificates.client(), HOSTNAME)
    await client.get()
    await hub_away(stack)

    assert await stack.edges[0].program.stop() == 0
    await stack.restart(stack.edges[0])

    await until(lambda: answers(client), LINKED_S)


async def test_an_agent_started_without_the_hub_waits_and_serves_soon_after_its_return(
    stack: Stack, web: Nginx, certificates: Certificates
) -> None:
    agent = await stack.start_agent(await stack.invite(HOSTNAME), service(HOSTNAME, web.plain))
    client = Client(stack.edge_port, certificates.client(), HOSTNAME)
    await hub_away(stack)
    assert await agent.program.stop() == 0
    await stack.restart(agent, wait=False)
    await until(lambda: refused(stack, client))

    assert stack.hub
    await stack.restart(stack.hub)

    await until(lambda: answers(client), BACK_S)


async def refused(stack: Stack, client: Client) -> bool:
    return not await answers(client)


async def answers(client: Client) -> bool:
    """Whether a visitor gets the page now."""
    try:
        return await client.get() == b"hello from home\n"
    except (OSError, EOFError):
        return False
