"""Limits of a tenant's flows: set on the invite, live, and kept together with those of its clients over TCP."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio
from support.clients import Client
from support.origins import Certificates, CommandOrigin
from support.ports import free_port
from support.stack import Stack, service, until
from support.tcp_origins import port_service
from support.udp_origins import Flood, UdpOrigin, is_answered, udp_client, udp_origin

from towonel.api.invites import InviteEdit, InviteOut
from towonel.api.limits import Limits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]
MBIT = 1_000_000
FILL_S = 1.0  # before it is measured: a tenth of a second's worth may pass at once
REFUSED, DROPPED = "towonel_edge_flows_refused_total", "towonel_edge_datagrams_dropped_total"


class Tenant:
    """Tenant with an echo over UDP and an origin of HTTPS."""

    def __init__(self, stack: Stack, invite: InviteOut, port: int, echo: UdpOrigin) -> None:
        self.stack, self.port, self.echo = stack, port, echo
        self._invite = invite
        self.downloaded = 0

    async def limit(self, **limits: int | None) -> None:
        """Change limits, and wait until the edge has heard of it."""
        async with self.stack.operator() as operator:
            edit = InviteEdit(limits=Limits.model_validate(limits))
            await operator.invites.update(self._invite.invite_id, edit)
        await until(self.stack.edges_are_up_to_date)

    async def download(self, client: Client) -> None:
        """Download until it is cancelled."""
        async with client.connect() as (reader, writer):
            writer.write(b"source 1000000000\n")
            while data := await reader.read(65_536):
                self.downloaded += len(data)


@pytest_asyncio.fixture(loop_scope="module")
async def tenant(processes: Stack, origin: CommandOrigin, hostname: str) -> AsyncIterator[Tenant]:
    invite, port = await processes.new_invite(hostname), free_port()
    async with udp_origin() as echo:
        flows = json.dumps([port_service("echo", echo.port, port)])
        web = service(hostname, origin.port)
        await processes.start_agent(invite.token, web, TOWONEL_AGENT_UDP_SERVICES=flows)
        await until(partial(is_answered, port))
        yield Tenant(processes, invite, port, echo)
        await processes.stop_agents()


@pytest.fixture
def client(processes: Stack, certificates: Certificates, hostname: str) -> Client:
    return Client(processes.edge_port, certificates.client(), hostname)


async def measure(tenant: Tenant, seconds: float, client: Client | None) -> tuple[float, float]:
    """Return the megabits a second that pass over UDP, both ways, and over TCP, under far too much of both."""
    with udp_client(tenant.port) as flooding:
        flood = Flood(flooding, tenant.echo)
        tasks = [asyncio.create_task(flood.send()), asyncio.create_task(flood.receive())]
        if client is not None:
            tasks.append(asyncio.create_task(tenant.download(client)))
        await asyncio.sleep(FILL_S)
        loop = asyncio.get_running_loop()
        began, before = loop.time(), (flood.passed, tenant.downloaded)
        await asyncio.sleep(seconds)
        lasted = loop.time() - began
        udp, tcp = flood.passed - before[0], tenant.downloaded - before[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return 8 * udp / MBIT / lasted, 8 * tcp / MBIT / lasted


async def test_flows_have_the_bandwidth_of_their_tenant_and_what_exceeds_it_is_counted(
    tenant: Tenant,
) -> None:
    dropped = partial(tenant.stack.edges[0].metric, DROPPED, reason="over_bandwidth")
    assert await dropped() == 0
    await tenant.limit(bandwidth=10 * MBIT)
    passed, _ = await measure(tenant, 3.0, None)
    assert 3 < passed < 11, "a machine that is busy carries less than it may"
    assert await dropped() > 0
    await tenant.limit(bandwidth=None)
    passed, _ = await measure(tenant, 1.0, None)

    assert passed > 12


async def test_flows_and_clients_over_tcp_have_the_bandwidth_together(
    tenant: Tenant, client: Client
) -> None:
    await tenant.limit(bandwidth=10 * MBIT)
    passed = await measure(tenant, 3.0, client)

    assert 3 < sum(passed) < 11
    assert min(passed) > 0.1, "neither has all"


@pytest.mark.soak
async def test_over_ten_seconds_it_is_a_tenth_off_at_most(tenant: Tenant, client: Client) -> None:
    await tenant.limit(bandwidth=10 * MBIT)
    for other in (None, client):
        passed = await measure(tenant, 10.0, other)
        assert abs(sum(passed) - 10) < 1


async def test_as_many_flows_begin_in_a_second_as_the_invite_says_now(tenant: Tenant) -> None:
    refused = partial(tenant.stack.edges[0].metric, REFUSED, code="rate_limited")
    before = await refused()
    await tenant.limit(connection_rate=1)
    assert [await is_answered(tenant.port) for _ in range(3)].count(True) < 3
    assert await refused() > before
    await tenant.limit(connection_rate=1000)

    assert [await is_answered(tenant.port) for _ in range(3)] == [True] * 3
