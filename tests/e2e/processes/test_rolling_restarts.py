"""Rolling restarts: the replicas of an agent are stopped and started one after the other, and no client notices.

An edge is restarted by an upgrade: `test_upgrade.py`.
"""

import asyncio
from functools import partial

import pytest
from support.arrivals import Arrivals
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.programs import Program
from support.stack import Node, Stack, service, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SERVED = 10  # clients, while all are there, before the next replica is stopped


async def start_replicas(stack: Stack, hostname: str, origin: CommandOrigin) -> None:
    token = await stack.invite(hostname)
    for _ in range(2):
        await stack.start_agent(token, service(hostname, origin.port))


async def restart(stack: Stack, agent: Node[Program]) -> None:
    """Stop a replica, start it again, and wait until it can serve clients."""
    assert await agent.program.stop() == 0
    await stack.restart(agent)
    await agent.reaches(2, "towonel_agent_lanes", state="idle")


@pytest.mark.parametrize("rate", [20, pytest.param(200, marks=pytest.mark.soak)])
async def test_no_client_fails_while_the_replicas_of_an_agent_are_restarted(
    processes: Stack,
    origin: CommandOrigin,
    certificates: Certificates,
    hostname: str,
    rate: int,
) -> None:
    await start_replicas(processes, hostname, origin)
    client = Client(processes.edge_port, certificates.client(), hostname)
    arrivals, done = Arrivals(client.ask, 1 / rate), asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(arrivals.run(tasks, done))
        for agent in processes.agents:
            seen = len(arrivals.answers)
            await until(partial(arrivals.has, seen + SERVED))
            await restart(processes, agent)
        done.set()

    assert set(arrivals.answers) == {b"home\n"}
