"""What is allowed no more once a tenant has it: it may keep that and give it up, and get no more."""

from collections.abc import Awaitable

import pytest
from support.hub import TestHub, new_key, running_hub, state, tenant_of
from support.legacy_client import body_of, legacy_client

from towonel.api.invites import HostnamesIn, InviteEdit
from towonel.api.limits import Limits
from towonel.api.ports import ReservationIn
from towonel.api.services import DesiredState, ServiceIn
from towonel.hub.core.ports import PortRules
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import TenantKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

LOW = Limits(services=1, agents=1, ports=1, hostnames=1)


async def lowered(hub: TestHub, token: InviteToken, limits: Limits = LOW) -> None:
    invite_id = base64url.encode(token.invite_id)
    await hub.client().invites.update(invite_id, InviteEdit(limits=limits))


async def refused(requested: Awaitable[object]) -> Code:
    with pytest.raises(Denied) as caught:
        await requested
    return caught.value.code


def ports(*numbers: int) -> DesiredState:
    services = [ServiceIn(kind="tcp", name=f"s{port}", port=port) for port in numbers]
    return DesiredState(group="default", services=services)


async def test_a_document_above_the_limit_may_stay_and_shrink_and_not_grow(hub: TestHub) -> None:
    client, token = hub.client(), await hub.invite("*.a.eu")
    tenant = tenant_of(token)
    await client.apply_desired_state(tenant, state("a.a.eu", "b.a.eu", "c.a.eu"))
    await lowered(hub, token)
    again = await client.apply_desired_state(tenant, state("a.a.eu", "b.a.eu", "c.a.eu"))
    sibling = await client.apply_desired_state(tenant, state("a.a.eu", group="sibling"))
    more = state("a.a.eu", "b.a.eu", "c.a.eu", "d.a.eu")

    assert (again.unchanged, sibling.created) == (3, ["https:a.a.eu"])
    assert await refused(client.apply_desired_state(tenant, more)) is Code.QUOTA_EXCEEDED
    fewer = await client.apply_desired_state(tenant, state("a.a.eu", "b.a.eu"))
    assert fewer.deleted == ["https:c.a.eu"]


async def test_ports_above_the_limit_may_stay_and_not_grow_in_place_of_names(hub: TestHub) -> None:
    client, token = hub.client(), await hub.invite("*.a.eu")
    tenant = tenant_of(token)
    await client.apply_desired_state(tenant, ports(2000, 2001, 2002))
    await lowered(hub, token, Limits(ports=1))

    assert (await client.apply_desired_state(tenant, ports(2000, 2001))).unchanged == 2
    more = client.apply_desired_state(tenant, ports(2000, 2001, 2002))
    assert await refused(more) is Code.QUOTA_EXCEEDED


async def test_a_log_above_the_limit_may_shrink_entry_by_entry(hub: TestHub) -> None:
    token = await hub.invite("*.a.eu")
    async with legacy_client(hub) as agent:
        key, agents = TenantKey.from_seed(token.seed), [new_key(), new_key(), new_key()]
        for sequence, node in enumerate(agents, 1):
            await agent.accept(key, sequence, "upsert_agent", agent_id=node.public)
        for sequence in range(4, 8):
            await agent.accept(key, sequence, "upsert_hostname", hostname=f"n{sequence}.a.eu")
        await lowered(hub, token)
        more = [
            await agent.submit(key, 8, "upsert_agent", agent_id=new_key().public),
            await agent.submit(key, 8, "upsert_hostname", hostname="n8.a.eu"),
        ]
        await agent.accept(key, 8, "revoke_agent", agent_id=agents[0].public)
        await agent.accept(key, 9, "upsert_agent", agent_id=agents[1].public)
        await agent.accept(key, 10, "delete_hostname", hostname="n4.a.eu")

    assert {body_of(sent) for sent in more} == {(409, "quota_exceeded")}
    assert len((await hub.client().routes.list()).routes) == 3


async def test_hostnames_above_the_limit_go_one_by_one(hub: TestHub) -> None:
    client, token = hub.client(), await hub.invite("a.eu", "b.eu", "c.eu")
    invite_id = base64url.encode(token.invite_id)
    await lowered(hub, token)

    more = client.invites.add_hostnames(invite_id, HostnamesIn(hostnames=["d.eu"]))
    assert await refused(more) is Code.QUOTA_EXCEEDED
    left = await client.invites.remove_hostname(invite_id, "a.eu")
    assert left.remaining_hostnames == ["b.eu", "c.eu"]


async def reserved(hub: TestHub, tenant: TenantKey) -> str:
    wanted = ReservationIn(
        tenant_id=tenant.tenant_id, protocol="tcp", first_port=2000, last_port=2001
    )
    return (await hub.client().ports.reserve(wanted)).reservation_id


async def test_ports_whose_reservation_was_released_may_stay_and_go(database: Database) -> None:
    async with running_hub(database, RouteChanges(), ports=PortRules(reserved_only=True)) as hub:
        client, tenant = hub.client(), tenant_of(await hub.invite("a.eu"))
        retained = await reserved(hub, tenant)
        await client.apply_desired_state(tenant, ports(2000, 2001))
        await client.ports.release(retained)
        more = DesiredState(
            group="default", services=[*ports(2000, 2001).services, *state("a.eu").services]
        )

        assert (await client.apply_desired_state(tenant, more)).created == ["https:a.eu"]
        shrunk = await client.apply_desired_state(tenant, ports(2000))
        assert sorted(shrunk.deleted) == ["https:a.eu", "tcp:2001"]
        again = client.apply_desired_state(tenant, ports(2000, 2001))
        assert await refused(again) is Code.PORT_CONFLICT


async def test_a_log_with_a_port_whose_reservation_was_released_goes_on(
    database: Database,
) -> None:
    async with running_hub(database, RouteChanges(), ports=PortRules(reserved_only=True)) as hub:
        async with legacy_client(hub) as agent:
            key, service = await agent.tenant("a.eu"), {"service": "ssh"}
            retained = await reserved(hub, key)
            await agent.accept(key, 1, "upsert_tcp_service", listen_port=2000, **service)
            await hub.client().ports.release(retained)
            await agent.accept(key, 2, "upsert_hostname", hostname="a.eu")
            more = await agent.submit(key, 3, "upsert_udp_service", listen_port=2000, **service)
            await agent.accept(key, 3, "delete_tcp_service", **service)
            again = await agent.submit(key, 4, "upsert_tcp_service", listen_port=2000, **service)
        left = (await hub.client().routes.list()).routes

    assert [body_of(sent) for sent in (more, again)] == [(400, "invalid_request")] * 2
    assert [route.key for route in left] == ["https:a.eu"]
