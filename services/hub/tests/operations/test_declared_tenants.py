"""Tenants that the settings name: there from the boot on, and what happens when they change."""

import pytest
from support.hub import TestHub, new_key, running_hub, state
from support.legacy_client import body_of, legacy_client

from towonel.api.invites import InviteIn
from towonel.api.tenants import TenantEdit
from towonel.hub.core.quotas import Quotas
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.operations.declared_tenants import declare
from towonel.hub.store.db.database import Database
from towonel.hub.tenant_settings import DeclaredTenant
from towonel.identity.keys import TenantKey
from towonel.wire.errors import Code, Denied
from towonel.wire.names import Hostname

KEY = TenantKey.from_seed(bytes(32))


def tenant(*hostnames: str) -> DeclaredTenant:
    names = tuple(map(Hostname, hostnames))
    return DeclaredTenant("home", KEY.tenant_id, KEY.public, names)


async def boot(hub: TestHub, *tenants: DeclaredTenant) -> None:
    await declare(hub.context.store, tenants, Quotas())


async def statuses(hub: TestHub) -> list[tuple[str, list[str]]]:
    found = await hub.client().tenants.list()
    return [(item.status, item.hostnames) for item in found.tenants]


async def test_a_declared_tenant_publishes_with_its_own_key(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    applied = await hub.client().apply_desired_state(KEY, state("app.example.eu"))

    assert applied.created == ["https:app.example.eu"]
    assert await statuses(hub) == [("active", ["app.example.eu"])]


async def test_the_same_boot_again_changes_nothing(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    before = (await hub.client().audit.list()).audit
    await boot(hub, tenant("app.example.eu"))

    assert (await hub.client().audit.list()).audit == before
    assert [item.action for item in before] == ["tenant.declared"]


async def test_a_suspended_tenant_that_is_declared_again_stays_suspended(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    await hub.client().tenants.suspend(KEY.tenant_id)
    await boot(hub)
    await boot(hub, tenant("app.example.eu"))
    table = await hub.client().follow_routes(hub.context.keys.node, None)

    assert await statuses(hub) == [("suspended", ["app.example.eu"])]
    assert table.blocked == (KEY.tenant_id,)


async def test_the_order_of_hostnames_is_no_change(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    await boot(hub, tenant("b.example.eu", "app.example.eu"))
    before = (await hub.client().audit.list()).audit
    await boot(hub, tenant("b.example.eu", "app.example.eu"))

    assert (await hub.client().audit.list()).audit == before


async def test_an_edit_of_what_another_boot_changed_is_refused(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    seen = await hub.client().tenants.get(KEY.tenant_id)
    await boot(hub, tenant("b.example.eu"))
    edit = TenantEdit(name="new")
    with pytest.raises(Denied) as caught:
        await hub.client().tenants.update(KEY.tenant_id, edit, if_match=seen.etag)

    assert caught.value.code is Code.PRECONDITION_FAILED


async def test_other_hostnames_are_taken_over_and_what_was_published_ends(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu", "b.example.eu"))
    await hub.client().apply_desired_state(KEY, state("app.example.eu", "b.example.eu"))
    await boot(hub, tenant("b.example.eu", "c.example.eu"))

    routes = await hub.client().routes.list()
    assert await statuses(hub) == [("active", ["b.example.eu", "c.example.eu"])]
    assert [route.key for route in routes.routes] == ["https:b.example.eu"]


@pytest.mark.both_databases
async def test_one_that_is_no_longer_named_ends_and_comes_back_when_it_is(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    await boot(hub)
    assert [status for status, _ in await statuses(hub)] == ["revoked"]

    await boot(hub, tenant("app.example.eu"))
    await hub.client().apply_desired_state(KEY, state("app.example.eu"))
    table = await hub.client().follow_routes(hub.context.keys.node, None)
    assert await statuses(hub) == [("active", ["app.example.eu"])]
    assert table.blocked == ()


async def test_a_revocation_that_the_next_boot_would_undo_is_refused(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    (item,) = (await hub.client().invites.list()).invites
    with pytest.raises(Denied, match="TOWONEL_TENANTS names this tenant") as caught:
        await hub.client().invites.revoke(item.invite_id)

    assert caught.value.code is Code.INVALID_REQUEST
    assert [status for status, _ in await statuses(hub)] == ["active"]


async def test_one_that_was_removed_stays_removed(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    await hub.client().tenants.remove(KEY.tenant_id)
    await boot(hub, tenant("app.example.eu"))

    assert [status for status, _ in await statuses(hub)] == ["revoked"]


async def test_a_name_that_an_invite_has_stops_the_boot_and_names_both(hub: TestHub) -> None:
    await hub.client().invites.create(InviteIn(hostnames=["app.example.eu"]))
    with pytest.raises(Denied, match=r"tenant home: another invite has already: app") as caught:
        await boot(hub, tenant("app.example.eu"))

    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert len(await statuses(hub)) == 1


async def test_a_tenant_with_an_invite_is_not_declared(hub: TestHub) -> None:
    token = await hub.invite("app.example.eu")
    key = TenantKey.from_seed(token.seed)
    with pytest.raises(Denied, match="has an invite already"):
        await boot(hub, DeclaredTenant("x", key.tenant_id, key.public, ()))

    assert await statuses(hub) == [("active", ["app.example.eu"])]


async def test_a_declared_agent_is_heard_from_the_beginning_and_is_nobody_elses(
    database: Database,
) -> None:
    agent = new_key()
    declared = {agent.public: KEY.tenant_id}
    async with (
        running_hub(database, RouteChanges(), agents=declared) as hub,
        legacy_client(hub) as node,
    ):
        await boot(hub, tenant("app.example.eu"))
        thief = await node.tenant("b.eu")
        stolen = await node.submit(thief, 1, "upsert_agent", agent_id=agent.public)
        heard = await node.heartbeat(agent, KEY.tenant_id)

    assert body_of(stolen) == (400, "invalid_request")
    assert heard.status_code == 200


async def test_nobody_proves_an_invite_that_was_never_made(hub: TestHub) -> None:
    await boot(hub, tenant("app.example.eu"))
    (item,) = (await hub.client().invites.list()).invites
    async with hub.raw() as http:
        proof = {"invite_id": item.invite_id, "invite_secret": ""}
        sent = await http.post("/v1/bootstrap", json=proof)

    assert sent.status_code in {400, 401}
