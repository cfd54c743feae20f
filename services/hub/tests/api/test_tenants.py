"""Tenants rest, come back and end: what edges, agents and operators then see."""

from collections.abc import Awaitable, Callable

from support.callers import (
    OPERATOR,
    body_of,
    code_of,
    invite_id,
    publish,
    publish_ports,
    served,
    tenant_id,
)
from support.hub import TestHub, new_key, tenant_of
from support.legacy_client import legacy_client

from towonel.api.limits import Limits
from towonel.api.ports import ReservationIn
from towonel.api.tenants import TenantEdit
from towonel.wire import base64url
from towonel.wire.errors import Code


async def test_a_suspended_tenant_is_blocked_and_keeps_its_routes(hub: TestHub) -> None:
    token, client, node = await hub.invite("a.eu"), hub.client(), hub.context.keys.node
    revision = await publish(hub, token, "a.eu")
    await client.tenants.suspend(tenant_id(token))
    suspended = await client.follow_routes(node, revision)
    snapshot = await client.follow_routes(node, None)
    await client.tenants.resume(tenant_id(token))
    resumed = await client.follow_routes(node, suspended.revision)

    who = (tenant_of(token).tenant_id,)
    assert (suspended.blocked, suspended.removed, suspended.routes) == (who, (), ())
    assert snapshot.blocked == who
    assert [route.key for route in snapshot.routes] == ["https:a.eu"]
    assert (resumed.unblocked, resumed.routes) == (who, ())
    assert list(await served(hub)) == ["https:a.eu"]


async def test_a_suspended_tenant_is_refused_whatever_it_asks_and_served_again_after(
    hub: TestHub,
) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    tenant = tenant_of(token).tenant_id
    grant = base64url.decode((await client.bootstrap(token, agent, "default")).grant or "")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: client.bootstrap(token, agent, "default"),
        lambda: client.refresh(grant, agent),
        lambda: client.heartbeat(agent, tenant),
        lambda: publish(hub, token, "a.eu"),
    ]
    await client.tenants.suspend(tenant)
    assert await code_of(client.bootstrap(token, new_key(), "default")) is Code.TENANT_SUSPENDED
    for call in calls:
        assert await code_of(call()) is Code.TENANT_SUSPENDED
    await client.tenants.resume(tenant)

    for call in calls:
        await call()


async def test_the_originals_programs_are_refused_while_suspended(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await hub.client().tenants.suspend(tenant_id(token))
    async with legacy_client(hub) as there:
        proof = {"invite_id": invite_id(token), "invite_secret": base64url.encode(token.secret)}
        bootstrap = await there.http.post("/v1/bootstrap", json=proof)
        entry = await there.submit(tenant_of(token), 1, "upsert_hostname", hostname="a.eu")

    assert body_of(bootstrap) == body_of(entry) == (403, "tenant_suspended")


async def test_a_wrong_secret_does_not_learn_that_a_tenant_is_suspended(hub: TestHub) -> None:
    token = await hub.invite("a.eu")
    await hub.client().tenants.suspend(tenant_id(token))
    proof = {"invite_id": invite_id(token), "invite_secret": base64url.encode(bytes(32))}
    async with hub.raw() as http:
        answer = await http.post("/v1/bootstrap", json=proof)

    assert body_of(answer) == (401, "unauthorized")


async def test_the_originals_edges_are_not_told_of_a_suspended_tenant(hub: TestHub) -> None:
    one, two = await hub.invite("a.eu"), await hub.invite("b.eu")
    for token, name in ((one, "a.eu"), (two, "b.eu")):
        await hub.client().bootstrap(token, new_key(), "default")
        await publish(hub, token, name)
    async with legacy_client(hub) as there, there.subscribed(hub.context.keys.node) as stream:
        await stream.table_with("a.eu", "b.eu")
        await hub.client().tenants.suspend(tenant_id(one))
        await stream.table_with("b.eu")
        await hub.client().tenants.resume(tenant_id(one))
        table = await stream.table_with("a.eu", "b.eu")

    assert table


async def test_a_suspended_tenant_keeps_its_names_and_ports(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    requested = ReservationIn(tenant_id=tenant_id(token), protocol="tcp", first_port=2222)
    await client.ports.reserve(requested)
    displayed = await client.tenants.suspend(tenant_id(token))
    other = await hub.invite("b.eu")

    assert (displayed.status, displayed.hostnames) == ("suspended", ["a.eu"])
    assert await code_of(hub.invite("a.eu")) is Code.HOSTNAME_CONFLICT
    assert await code_of(publish_ports(hub, other, "tcp", [2222])) is Code.PORT_CONFLICT


async def test_suspending_and_resuming_twice_is_doing_it_once(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    first = await client.tenants.suspend(tenant_id(token))
    hub.clock.now_ms += 5_000
    second = await client.tenants.suspend(tenant_id(token))
    resumed = [await client.tenants.resume(tenant_id(token)) for _ in range(2)]

    assert first == second
    assert first.suspended_at is not None
    assert [(item.status, item.suspended_at) for item in resumed] == [("active", None)] * 2
    found = (await client.audit.list(tenant_id=tenant_id(token))).audit
    assert [item.action for item in found] == [
        "tenant.resumed",
        "tenant.suspended",
        "invite.created",
    ]


async def test_a_removed_tenant_is_gone_and_its_names_and_ports_are_free(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu"), new_key(), hub.client()
    requested = ReservationIn(tenant_id=tenant_id(token), protocol="tcp", first_port=2222)
    await client.ports.reserve(requested)
    await client.bootstrap(token, agent, "default")
    revision = await publish(hub, token, "a.eu")
    await client.tenants.remove(tenant_id(token))
    delta = await client.follow_routes(hub.context.keys.node, revision)
    other = await hub.invite("a.eu")
    await publish_ports(hub, other, "tcp", [2222])

    assert (delta.removed, delta.blocked) == (("https:a.eu",), (tenant_of(token).tenant_id,))
    assert await code_of(client.bootstrap(token, agent, "default")) is Code.UNAUTHORIZED
    assert await code_of(publish(hub, token, "a.eu")) is Code.TENANT_REVOKED
    assert (await client.tenants.get(tenant_id(token))).value.status == "revoked"


async def test_a_tenant_that_ended_neither_rests_nor_comes_back(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await client.tenants.remove(tenant_id(token))
    calls = (
        client.tenants.suspend(tenant_id(token)),
        client.tenants.resume(tenant_id(token)),
        client.tenants.update(tenant_id(token), TenantEdit(name="x")),
    )

    assert [await code_of(call) for call in calls] == [Code.NOT_FOUND] * 3


async def test_a_tenant_that_nobody_knew_can_be_removed_and_twice(hub: TestHub) -> None:
    removed = [await hub.client().tenants.remove(b"\xab" * 32) for _ in range(2)]

    assert [item.status for item in removed] == ["removed", "removed"]
    assert await code_of(hub.client().tenants.get(b"\xab" * 32)) is Code.NOT_FOUND


async def test_a_suspended_tenant_that_is_revoked_stays_blocked(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await publish(hub, token, "a.eu")
    await client.tenants.suspend(tenant_id(token))
    await client.invites.revoke(invite_id(token))
    delta = await client.follow_routes(hub.context.keys.node, None)

    assert (delta.blocked, delta.routes) == ((tenant_of(token).tenant_id,), ())
    assert (await client.tenants.get(tenant_id(token))).value.status == "revoked"


async def test_a_tenant_shows_what_it_may_have_and_what_it_has(hub: TestHub) -> None:
    token, agent, client = await hub.invite("a.eu", "*.a.eu"), new_key(), hub.client()
    requested = ReservationIn(
        tenant_id=tenant_id(token), protocol="udp", first_port=5000, last_port=5009
    )
    await client.ports.reserve(requested)
    await client.bootstrap(token, agent, "blue")
    await publish(hub, token, "a.eu", "b.a.eu", group="blue")
    await publish(hub, token, "a.eu", group="green")
    edit = TenantEdit(name="renamed", limits=Limits(services=7))
    await client.tenants.update(tenant_id(token), edit)
    displayed = (await client.tenants.get(tenant_id(token))).value

    assert (displayed.name, displayed.limits, displayed.status) == (
        "renamed",
        Limits(services=7),
        "active",
    )
    assert (displayed.invite_id, displayed.hostnames) == (invite_id(token), ["a.eu", "*.a.eu"])
    assert (displayed.services, displayed.agents_live) == (2, 0)
    assert [(retained.first_port, retained.last_port) for retained in displayed.ports] == [
        (5000, 5009)
    ]
    assert [(item.agent_id, item.group) for item in displayed.agents] == [(agent.public, "blue")]


async def test_an_id_in_another_form_is_invalid(hub: TestHub) -> None:
    async with hub.raw() as http:
        for which in ("xy" * 32, "ab" * 31, "ab" * 33, "%00" * 20, "%C2%B2" * 64):
            answers = [
                await http.get(f"/v1/tenants/{which}", headers=OPERATOR),
                await http.post(f"/v1/tenants/{which}/suspend", headers=OPERATOR),
                await http.patch(f"/v1/tenants/{which}", json={}, headers=OPERATOR),
                await http.delete(f"/v1/tenants/{which}", headers=OPERATOR),
            ]

            assert [body_of(answer) for answer in answers] == [(400, "invalid_request")] * 4
