"""Limits of a tenant's clients: operators set them, and edges hear of them with the routes."""

from typing import Any

import pytest
from support.callers import OPERATOR, body_of, invite_id, tenant_id
from support.hub import TestHub

from towonel.api.invites import InviteEdit, InviteIn
from towonel.api.limits import Limits
from towonel.api.tenants import TenantEdit
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import RouteDelta

pytestmark = pytest.mark.both_databases
FEW = Limits(connections=5, connection_rate=2, bandwidth=10_000_000)


async def follow(hub: TestHub, since: int | None = None) -> RouteDelta:
    hub.clock.now_ms += 1  # or it would be a replay
    return await hub.client().follow_routes(hub.context.keys.node, since)


async def test_an_invite_with_limits_tells_them_to_edges(hub: TestHub) -> None:
    before = await follow(hub)
    invite = InviteIn(hostnames=["a.eu"], limits=FEW)
    created = await hub.client().invites.create(invite)
    delta = await follow(hub, before.revision)

    assert before.limits == {}
    assert delta.limits == {created.tenant_id: TenantLimits(5, 2, 10_000_000)}
    assert not delta.snapshot
    assert (await follow(hub)).limits == delta.limits
    assert (await hub.client().invites.get(created.invite_id)).value.limits == FEW


async def test_an_edit_of_invite_or_tenant_changes_them_for_edges_at_once(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    tenant = tenant_id(token)
    at = (await follow(hub)).revision
    await client.invites.update(invite_id(token), InviteEdit(limits=Limits(connections=5)))
    first = await follow(hub, at)
    await client.tenants.update(tenant, TenantEdit(limits=Limits(bandwidth=8_000)))
    second = await follow(hub, first.revision)
    none = Limits(connections=None, bandwidth=None)
    await client.invites.update(invite_id(token), InviteEdit(limits=none))
    third = await follow(hub, second.revision)

    assert first.limits == {tenant: TenantLimits(connections=5)}
    assert second.limits == {tenant: TenantLimits(connections=5, bandwidth=8_000)}
    assert third.limits == {tenant: NO_LIMITS}
    assert (await follow(hub)).limits == {}


async def test_what_edges_need_not_know_makes_no_revision(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await client.invites.update(invite_id(token), InviteEdit(limits=FEW))
    at = (await follow(hub)).revision
    await client.invites.update(invite_id(token), InviteEdit(limits=FEW, name="other"))
    await client.invites.update(invite_id(token), InviteEdit(limits=Limits(services=3)))

    assert (await follow(hub)).revision == at


async def test_a_tenant_that_ends_has_no_limits_any_more(hub: TestHub) -> None:
    token, client = await hub.invite("a.eu"), hub.client()
    await client.invites.update(invite_id(token), InviteEdit(limits=FEW))
    at = (await follow(hub)).revision
    await client.invites.revoke(invite_id(token))
    delta = await follow(hub, at)

    assert delta.limits == {tenant_id(token): NO_LIMITS}
    assert delta.blocked == (tenant_id(token),)
    assert (await follow(hub)).limits == {}


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"connections": -1}, "limits.connections: must be at least 0"),
        ({"connection_rate": 0}, "limits.connection_rate: must be at least 1"),
        ({"bandwidth": 7_999}, "limits.bandwidth: must be at least 8000"),
        ({"bandwidth": 10**12 + 1}, "limits.bandwidth: must be at most 1000000000000"),
    ],
)
async def test_a_limit_out_of_range_is_refused_with_field_and_rule(
    hub: TestHub, limits: dict[str, Any], rule: str
) -> None:
    async with hub.raw() as raw:
        body = {"hostnames": ["a.eu"], "limits": limits}
        answer = await raw.post("/v1/invites", json=body, headers=OPERATOR)

    assert answer.status_code == 400
    assert rule in answer.json()["error"]["message"]


async def test_a_limit_of_hostnames_holds_for_those_that_an_invite_begins_with(
    hub: TestHub,
) -> None:
    async with hub.raw() as raw:
        body = {"hostnames": ["a.eu", "b.eu"], "limits": {"hostnames": 1}}
        answer = await raw.post("/v1/invites", json=body, headers=OPERATOR)

    assert body_of(answer) == (409, "quota_exceeded")
