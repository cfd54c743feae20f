"""The quota of agents for real: an agent that is killed makes room for the next one."""

import httpx
import pytest
from support.origins import Nginx
from support.stack import Stack, service, until

from towonel.api.limits import Limits
from towonel.api.tenants import TenantEdit

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.soak]
GONE_S = 75.0  # a session without an answer ends, an edge reports that, an agent asks again


async def one_is_live(stack: Stack) -> bool:
    async with stack.operator() as client:
        return [agent.is_live for agent in (await client.agents.list()).agents] == [True]


async def test_a_killed_agent_makes_room_once_its_session_has_ended(
    fresh_processes: Stack, web: Nginx, hostname: str
) -> None:
    stack = fresh_processes
    made = await stack.new_invite(hostname)
    async with stack.operator() as client:
        await client.tenants.update(made.tenant_id, TenantEdit(limits=Limits(agents=1)))
    first = await stack.start_agent(made.token, service(hostname, web.plain))
    await until(lambda: one_is_live(stack), 30)
    await first.program.kill()
    second = await stack.start_agent(made.token, service(hostname, web.plain), wait=False)

    async def is_ready() -> bool:
        try:
            async with httpx.AsyncClient() as http:
                answer = await http.get(f"http://127.0.0.1:{second.health_port}/readyz")
                return answer.is_success
        except httpx.TransportError:
            return False

    await until(is_ready, GONE_S)
    assert "agents: 1 run, and this tenant may run 1" in second.program.log()
