"""Hostnames that change hands: the most specific invite gets them, and keeps them."""

import asyncio

import pytest
from support.hub import TestHub, state, tenant_of
from support.large_database import log_statements

from towonel.api.services import AppliedState
from towonel.identity.keys import TenantKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied

APP = "app.example.eu"


async def owners(hub: TestHub) -> dict[str, bytes]:
    table = await hub.client().follow_routes(hub.context.keys.node, None)
    return {route.name: route.tenant_id for route in table.routes}


async def test_an_exact_invite_takes_over_what_a_wildcard_published(hub: TestHub) -> None:
    client = hub.client()
    first = tenant_of(await hub.invite("*.example.eu"))
    before = await client.apply_desired_state(first, state(APP, "b.example.eu"))
    second = tenant_of(await hub.invite(APP))
    await client.apply_desired_state(second, state(APP))
    delta = await client.follow_routes(hub.context.keys.node, before.revision)

    assert [(route.name, route.tenant_id) for route in delta.routes] == [(APP, second.tenant_id)]
    assert await owners(hub) == {APP: second.tenant_id, "b.example.eu": first.tenant_id}


async def test_a_withdrawn_name_is_kept_from_anothers_wildcard_and_not_from_ones_own(
    hub: TestHub,
) -> None:
    client = hub.client()
    first = tenant_of(await hub.invite("*.example.eu", "own.example.eu"))
    second = tenant_of(await hub.invite(APP))
    for published in (["*.example.eu", "own.example.eu"], ["*.example.eu"]):
        await client.apply_desired_state(first, state(*published))
    for published in ([APP], []):
        await client.apply_desired_state(second, state(*published))

    assert await owners(hub) == {"*.example.eu": first.tenant_id, APP: second.tenant_id}


async def test_of_many_wildcards_in_one_invite_each_takes_its_names_and_no_others(
    hub: TestHub,
) -> None:
    first = tenant_of(await hub.invite("*.example.eu", "*.other.eu"))
    names = [f"n{n}.w{n}.example.eu" for n in range(5)]
    kept = ["w1.example.eu", "w1.other.eu", "xw1.example.eu"]
    await hub.client().apply_desired_state(first, state(*names, *kept))
    reserved = tenant_of(await hub.invite("own.w3.example.eu"))
    second = tenant_of(await hub.invite(*(f"*.w{n}.example.eu" for n in range(1, 200))))
    await hub.client().apply_desired_state(second, state("*.w3.example.eu"))

    assert await owners(hub) == {
        **dict.fromkeys([names[0], *kept], first.tenant_id),
        "own.w3.example.eu": reserved.tenant_id,
        "*.w3.example.eu": second.tenant_id,
    }


async def test_nine_hundred_wildcards_are_not_looked_up_one_by_one(hub: TestHub) -> None:
    with log_statements(hub.context.store.engine) as few:
        await hub.invite(*(f"*.w{n}.one.eu" for n in range(3)))
    with log_statements(hub.context.store.engine) as many:
        await hub.invite(*(f"*.w{n}.two.eu" for n in range(900)))

    assert many.count <= few.count + 10


async def test_who_lost_a_name_cannot_delete_it(hub: TestHub) -> None:
    client = hub.client()
    first = tenant_of(await hub.invite("*.example.eu"))
    await client.apply_desired_state(first, state(APP))
    second = tenant_of(await hub.invite(APP))
    await client.apply_desired_state(second, state(APP))
    after = await client.apply_desired_state(first, state("b.example.eu"))

    assert after.deleted == []
    assert await owners(hub) == {APP: second.tenant_id, "b.example.eu": first.tenant_id}


async def test_revoking_who_lost_a_name_leaves_it_where_it_is(hub: TestHub) -> None:
    client = hub.client()
    wildcard = await hub.invite("*.example.eu")
    await client.apply_desired_state(tenant_of(wildcard), state(APP))
    second = tenant_of(await hub.invite(APP))
    await client.apply_desired_state(second, state(APP))
    await client.invites.revoke(base64url.encode(wildcard.invite_id))

    assert await owners(hub) == {APP: second.tenant_id}


async def test_a_name_comes_back_when_the_more_specific_invite_is_revoked(hub: TestHub) -> None:
    client = hub.client()
    first = tenant_of(await hub.invite("*.example.eu"))
    exact = await hub.invite(APP)
    await client.apply_desired_state(tenant_of(exact), state(APP))
    with pytest.raises(Denied) as caught:
        await client.apply_desired_state(first, state(APP))
    await client.invites.revoke(base64url.encode(exact.invite_id))
    back = await client.apply_desired_state(first, state(APP))

    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert back.created == [f"https:{APP}"]
    assert await owners(hub) == {APP: first.tenant_id}


async def test_a_refused_document_names_all_that_is_wrong_and_applies_nothing(
    hub: TestHub,
) -> None:
    first = tenant_of(await hub.invite("*.example.eu"))
    await hub.invite(APP, "shop.example.eu")
    with pytest.raises(Denied) as caught:
        await hub.client().apply_desired_state(
            first, state(APP, "b.example.eu", "shop.example.eu", "x.org")
        )

    assert caught.value.code is Code.HOSTNAME_NOT_OWNED
    for name in (APP, "shop.example.eu", "x.org"):
        assert name in caught.value.detail
    assert "b.example.eu" not in caught.value.detail
    assert first.tenant_id not in (await owners(hub)).values()


async def test_of_twenty_tenants_that_claim_each_others_names_each_name_has_its_one_owner(
    hub: TestHub,
) -> None:
    names = [f"n{number}.example.eu" for number in range(19)]
    wildcard = tenant_of(await hub.invite("*.example.eu"))
    exact = {name: tenant_of(await hub.invite(name)) for name in names}

    async def claim(tenant: TenantKey, *wanted: str) -> AppliedState | Code:
        try:
            return await hub.client().apply_desired_state(tenant, state(*wanted))
        except Denied as error:
            return error.code

    async with asyncio.TaskGroup() as tasks:
        greedy = tasks.create_task(claim(wildcard, *names, "free.example.eu"))
        modest = [tasks.create_task(claim(tenant, name)) for name, tenant in exact.items()]

    assert greedy.result() is Code.HOSTNAME_CONFLICT
    assert all(isinstance(task.result(), AppliedState) for task in modest)
    assert await owners(hub) == {name: tenant.tenant_id for name, tenant in exact.items()}


async def test_invites_that_ask_for_one_name_at_once_get_it_once(hub: TestHub) -> None:
    async def ask() -> bool:
        try:
            await hub.invite("a.eu", "b.eu")
        except Denied as error:
            assert error.code is Code.HOSTNAME_CONFLICT
            return False
        return True

    async with asyncio.TaskGroup() as tasks:
        requested = [tasks.create_task(ask()) for _ in range(10)]

    assert [task.result() for task in requested].count(True) == 1
