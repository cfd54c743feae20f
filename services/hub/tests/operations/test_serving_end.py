"""Tenants that are served for a time: the hub ends that by itself, and an edit brings them back."""

from datetime import UTC, datetime, timedelta

import pytest
from support.callers import code_of, invite_id, publish, served, tenant_id
from support.hub import TestHub, new_key, tenant_of

from towonel.api.invites import InviteEdit, InviteIn
from towonel.hub import background
from towonel.hub.operations import tenant_lifecycle
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

SERVED_S = 60


async def invite(hub: TestHub, hostname: str = "a.eu") -> InviteToken:
    """An invite whose tenant is served for a minute, and published its hostname."""
    body = InviteIn(hostnames=[hostname], serves_for_secs=SERVED_S)
    token = InviteToken.decode((await hub.client().invites.create(body)).token)
    await publish(hub, token, hostname)
    return token


async def pass_time(hub: TestHub, seconds: int) -> None:
    hub.clock.now_ms += 1_000 * seconds
    await background.end_serving(hub.context)


async def serve_until(hub: TestHub, token: InviteToken, seconds: int | None) -> None:
    """Have a tenant served until so many seconds from now."""
    now = datetime.fromtimestamp(hub.clock.now_ms / 1_000, UTC)
    until = None if seconds is None else now + timedelta(seconds=seconds)
    await hub.client().invites.update(invite_id(token), InviteEdit(serves_until=until))


async def state_of(hub: TestHub, token: InviteToken) -> tuple[str | None, str, bool]:
    """How an invite and its tenant are listed, and whether edges refuse the tenant."""
    client = hub.client()
    (item,) = (await client.invites.list(hostname="a.eu")).invites
    tenant = (await client.tenants.get(tenant_id(token))).value
    hub.clock.now_ms += 1  # the same request again would be a replay
    table = await client.follow_routes(hub.context.keys.node, None)
    return item.state, tenant.status, tenant_of(token).tenant_id in table.blocked


async def actions(hub: TestHub, token: InviteToken) -> list[tuple[str, str]]:
    found = (await hub.client().audit.list(tenant_id=tenant_id(token))).audit
    return [(item.action, item.actor) for item in found if item.action.startswith("tenant.")]


async def test_serving_ends_at_its_time_once_and_by_the_hub_itself(hub: TestHub) -> None:
    token, other = await invite(hub), await invite(hub, "b.eu")
    await serve_until(hub, other, None)
    await pass_time(hub, SERVED_S - 1)
    before = await state_of(hub, token)
    await pass_time(hub, 1)
    after = await state_of(hub, token)
    await pass_time(hub, 1)
    tenant = (await hub.client().tenants.get(tenant_id(token))).value

    assert (before, after) == (("used", "active", False), ("ended", "suspended", True))
    assert await actions(hub, token) == [("tenant.serving_ended", "hub")]
    assert await actions(hub, other) == []
    assert tenant.serves_until is not None
    assert tenant.ended_at is not None
    assert timedelta(0) <= tenant.ended_at - tenant.serves_until < timedelta(seconds=1)
    assert list(await served(hub)) == ["https:b.eu"]


async def test_agents_of_a_tenant_that_ended_are_told_why(hub: TestHub) -> None:
    token = await invite(hub)
    await pass_time(hub, SERVED_S)

    for call in (
        hub.client().bootstrap(token, new_key(), "default"),
        publish(hub, token, "a.eu"),
    ):
        with pytest.raises(Denied, match="time for which the hub serves") as caught:
            await call
        assert caught.value.code is Code.TENANT_SUSPENDED


async def test_a_clock_that_is_put_back_changes_nothing_until_it_is_time(hub: TestHub) -> None:
    ended, late = await invite(hub), await invite(hub, "b.eu")
    await pass_time(hub, SERVED_S)
    await serve_until(hub, late, 10)
    until = (await hub.client().invites.get(invite_id(ended))).value.serves_until
    await pass_time(hub, -3_600)
    await hub.client().invites.update(invite_id(ended), InviteEdit(name="x", serves_until=until))
    assert await state_of(hub, ended) == ("ended", "suspended", True)
    assert await actions(hub, late) == [
        ("tenant.serving_resumed", "operator"),
        ("tenant.serving_ended", "hub"),
    ]
    await pass_time(hub, 3_610)

    assert (await actions(hub, late))[0] == ("tenant.serving_ended", "hub")


async def test_an_edit_ends_and_resumes_serving_at_once(hub: TestHub) -> None:
    token = await invite(hub)
    found = []
    for seconds in (-1, 60, 0, None):
        await serve_until(hub, token, seconds)
        found.append(await state_of(hub, token))
    await pass_time(hub, 86_400)

    over, on = ("ended", "suspended", True), ("used", "active", False)
    assert found == [over, on, over, on]
    assert await state_of(hub, token) == on
    assert {actor for _, actor in await actions(hub, token)} == {"operator"}


async def test_what_an_operator_suspended_stays_so_whatever_its_time(hub: TestHub) -> None:
    token, client = await invite(hub), hub.client()
    await client.tenants.suspend(tenant_id(token))
    await pass_time(hub, SERVED_S)
    ended = await state_of(hub, token)
    refused = await code_of(client.tenants.resume(tenant_id(token)))
    await serve_until(hub, token, 60)
    extended = await state_of(hub, token)
    await client.tenants.resume(tenant_id(token))

    assert (ended, refused) == (("ended", "suspended", True), Code.INVALID_REQUEST)
    assert extended == ("used", "suspended", True)
    assert await state_of(hub, token) == ("used", "active", False)


async def test_a_tenant_that_was_revoked_does_not_end_again(hub: TestHub) -> None:
    token = await invite(hub)
    await hub.client().invites.revoke(invite_id(token))
    await pass_time(hub, SERVED_S)

    assert await state_of(hub, token) == ("revoked", "revoked", True)
    assert await actions(hub, token) == []


async def test_many_tenants_end_in_several_writes(hub: TestHub) -> None:
    for number in range(3):
        body = InviteIn(hostnames=[f"{number}.eu"], serves_for_secs=SERVED_S)
        await hub.client().invites.create(body)
    hub.clock.now_ms += 1_000 * SERVED_S
    more = []
    for _ in range(2):
        async with hub.context.store.write() as write:
            more.append(await tenant_lifecycle.end_overdue(write, 2))

    assert more == [True, False]
    assert len((await hub.client().invites.list(state="ended")).invites) == 3
