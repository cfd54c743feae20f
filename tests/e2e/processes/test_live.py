"""Live views of the hub: agents, edges and traffic, as edges report them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

import pytest
from support.clients import Client
from support.engine import ENGINE
from support.origins import Certificates, Nginx
from support.stack import Stack, service, until

from towonel.api.invites import InviteEdit, InviteOut
from towonel.api.tenants import TenantDetail
from towonel.relay.hop.choice import choose

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPORTED_S = 30.0  # edges report every ten seconds


async def get_tenant(processes: Stack, tenant_id: bytes) -> TenantDetail:
    async with processes.operator() as operator:
        return (await operator.tenants.get(tenant_id)).value


async def has_traffic(processes: Stack, tenant_id: bytes) -> bool:
    return (await get_tenant(processes, tenant_id)).traffic.connections_total >= 1


async def has_connections(processes: Stack, node_id: bytes) -> bool:
    """Whether what the edge's workers counted is in its report; a tenant's streams may be there before."""
    async with processes.operator() as operator:
        return (await operator.edges.get(node_id)).traffic.connections_total >= 1


async def test_the_hub_shows_where_a_tenant_is_live_since_when_and_what_it_carried(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    invite = await processes.new_invite(hostname)
    await processes.start_agent(
        invite.token, service(hostname, web.plain), TOWONEL_AGENT_GROUP="home"
    )
    client = Client(processes.edge_port, certificates.client(), hostname)
    assert await client.get() == b"hello from home\n"
    await until(partial(has_traffic, processes, invite.tenant_id), REPORTED_S)

    tenant = await get_tenant(processes, invite.tenant_id)
    async with processes.operator() as operator:
        (agent,) = (await operator.agents.list(live=True)).agents
        (edge,) = (await operator.edges.list()).edges
        detail = await operator.edges.get(edge.node_id)
        found = await operator.services.get(f"https:{hostname}")
    assert found.traffic.bytes_out == tenant.traffic.bytes_out > len("hello from home")
    assert [one.agent_id for one in tenant.agents] == [agent.agent_id]
    assert (agent.group, agent.edges, agent.is_live) == ("home", [edge.node_id], True)
    assert agent.software == f"towonel-agent/{version('towonel-agent')} ({choose(ENGINE)})"
    assert agent.live_since is not None
    assert [one.agent_id for one in found.agents] == [agent.agent_id]
    assert (detail.is_live, detail.sessions) == (True, 1)
    await until(partial(has_connections, processes, edge.node_id), REPORTED_S)


async def serve_page(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> tuple[InviteOut, Client]:
    """Return a tenant's invite, and a client that gets its page."""
    invite = await processes.new_invite(hostname)
    await processes.start_agent(invite.token, service(hostname, web.plain))
    client = Client(processes.edge_port, certificates.client(), hostname)
    assert await client.has_page()
    return invite, client


async def refuses(client: Client) -> bool:
    return not await client.has_page()


async def test_a_tenant_is_served_until_its_time_and_again_once_that_is_extended(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    invite, client = await serve_page(processes, web, certificates, hostname)
    async with processes.operator() as operator:
        at = datetime.now(UTC) + timedelta(seconds=1)
        await operator.invites.update(invite.invite_id, InviteEdit(serves_until=at))
        await until(partial(refuses, client))
        ended = (await operator.invites.get(invite.invite_id)).value
        await operator.invites.update(invite.invite_id, InviteEdit(serves_until=None))
    await until(client.has_page, 60)

    assert ended.state == "ended"


async def test_a_suspended_tenant_is_served_again_once_it_is_resumed_and_nobody_restarts_anything(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str
) -> None:
    invite, client = await serve_page(processes, web, certificates, hostname)
    async with processes.operator() as operator:
        await operator.tenants.suspend(invite.tenant_id)
        await until(partial(refuses, client))
        await operator.tenants.resume(invite.tenant_id)
    await until(client.has_page, 60)
