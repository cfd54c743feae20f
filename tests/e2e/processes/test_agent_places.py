"""Places of agents: one that ends gives its own to the next, however it ends."""

import pytest
from support.clients import Client
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

from towonel.api.invites import InviteEdit
from towonel.api.limits import Limits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
SOON_S = 60.0  # for an agent that was killed: until its edge gives it up, and reports that


async def start_only_agent(stack: Stack, hostname: str, port: int) -> str:
    """Start an agent of a tenant that may run one, and return its token."""
    invite = await stack.new_invite(hostname)
    async with stack.operator() as operator:
        await operator.invites.update(invite.invite_id, InviteEdit(limits=Limits(agents=1)))
    await stack.start_agent(invite.token, service(hostname, port))
    return invite.token


async def test_the_place_of_an_agent_that_was_stopped_is_free_at_once(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await start_only_agent(processes, hostname, web.plain)
    assert await processes.agents[0].program.stop() == 0

    second = await processes.start_agent(token, service(hostname, web.plain))

    client = Client(processes.edge_port, certificates.client(), hostname)
    assert await client.get() == b"hello from home\n"
    assert "hub.unreachable" not in second.program.log()


@pytest.mark.soak
async def test_the_place_of_an_agent_that_was_killed_is_free_soon(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    token = await start_only_agent(processes, hostname, web.plain)
    await processes.agents[0].program.kill()

    await processes.start_agent(token, service(hostname, web.plain), wait=False)

    client = Client(processes.edge_port, certificates.client(), hostname)
    await until(client.has_page, SOON_S)
