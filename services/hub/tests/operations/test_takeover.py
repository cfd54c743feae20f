"""Hostnames that change hands: the most specific invite gets them, and keeps them."""

import asyncio

import pytest
from support.hub import World, state, tenant_of

from towonel.api.services import AppliedState
from towonel.identity.keys import TenantKey
from towonel.wire import base64url
from towonel.wire.errors import Code, Denied

APP = "app.example.eu"


async def owners(world: World) -> dict[str, bytes]:
    table = await world.client().follow_routes(world.hub.keys.node, None)
    return {route.name: route.tenant_id for route in table.routes}


async def test_an_exact_invite_takes_over_what_a_wildcard_published(world: World) -> None:
    client = world.client()
    first = tenant_of(await world.invite("*.example.eu"))
    before = await client.apply_desired_state(first, state(APP, "b.example.eu"))
    second = tenant_of(await world.invite(APP))
    await client.apply_desired_state(second, state(APP))
    delta = await client.follow_routes(world.hub.keys.node, before.revision)

    assert [(route.name, route.tenant_id) for route in delta.routes] == [(APP, second.tenant_id)]
    assert await owners(world) == {APP: second.tenant_id, "b.example.eu": first.tenant_id}


async def test_a_withdrawn_name_is_kept_from_anothers_wildcard_and_not_from_ones_own(
    world: World,
) -> None:
    client = world.client()
    first = tenant_of(await world.invite("*.example.eu", "own.example.eu"))
    second = tenant_of(await world.invite(APP))
    for published in (["*.example.eu", "own.example.eu"], ["*.example.eu"]):
        await client.apply_desired_state(first, state(*published))
    for published in ([APP], []):
        await client.apply_desired_state(second, state(*published))

    assert await owners(world) == {"*.example.eu": first.tenant_id, APP: second.tenant_id}


async def test_who_lost_a_name_cannot_delete_it(world: World) -> None:
    client = world.client()
    first = tenant_of(await world.invite("*.example.eu"))
    await client.apply_desired_state(first, state(APP))
    second = tenant_of(await world.invite(APP))
    await client.apply_desired_state(second, state(APP))
    after = await client.apply_desired_state(first, state("b.example.eu"))

    assert after.deleted == []
    assert await owners(world) == {APP: second.tenant_id, "b.example.eu": first.tenant_id}


async def test_revoking_who_lost_a_name_leaves_it_where_it_is(world: World) -> None:
    client = world.client()
    wildcard = await world.invite("*.example.eu")
    await client.apply_desired_state(tenant_of(wildcard), state(APP))
    second = tenant_of(await world.invite(APP))
    await client.apply_desired_state(second, state(APP))
    await client.revoke_invite(base64url.encode(wildcard.invite_id))

    assert await owners(world) == {APP: second.tenant_id}


async def test_a_name_comes_back_when_the_more_specific_invite_is_revoked(world: World) -> None:
    client = world.client()
    first = tenant_of(await world.invite("*.example.eu"))
    exact = await world.invite(APP)
    await client.apply_desired_state(tenant_of(exact), state(APP))
    with pytest.raises(Denied) as caught:
        await client.apply_desired_state(first, state(APP))
    await client.revoke_invite(base64url.encode(exact.invite_id))
    back = await client.apply_desired_state(first, state(APP))

    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert back.created == [f"https:{APP}"]
    assert await owners(world) == {APP: first.tenant_id}


async def test_a_refused_document_names_all_that_is_wrong_and_applies_nothing(
    world: World,
) -> None:
    first = tenant_of(await world.invite("*.example.eu"))
    await world.invite(APP, "shop.example.eu")
    with pytest.raises(Denied) as caught:
        await world.client().apply_desired_state(
            first, state(APP, "b.example.eu", "shop.example.eu", "x.org")
        )

    assert caught.value.code is Code.HOSTNAME_NOT_OWNED
    for name in (APP, "shop.example.eu", "x.org"):
        assert name in caught.value.detail
    assert "b.example.eu" not in caught.value.detail
    assert first.tenant_id not in (await owners(world)).values()


async def test_of_twenty_tenants_that_claim_each_others_names_each_name_has_its_one_owner(
    world: World,
) -> None:
    names = [f"n{number}.example.eu" for number in range(19)]
    wildcard = tenant_of(await world.invite("*.example.eu"))
    exact = {name: tenant_of(await world.invite(name)) for name in names}

    async def claim(tenant: TenantKey, *wanted: str) -> AppliedState | Code:
        try:
            return await world.client().apply_desired_state(tenant, state(*wanted))
        except Denied as error:
            return error.code

    async with asyncio.TaskGroup() as tasks:
        greedy = tasks.create_task(claim(wildcard, *names, "free.example.eu"))
        modest = [tasks.create_task(claim(tenant, name)) for name, tenant in exact.items()]

    assert greedy.result() is Code.HOSTNAME_CONFLICT
    assert all(isinstance(task.result(), AppliedState) for task in modest)
    assert await owners(world) == {name: tenant.tenant_id for name, tenant in exact.items()}


async def test_invites_that_ask_for_one_name_at_once_get_it_once(world: World) -> None:
    async def ask() -> bool:
        try:
            await world.invite("a.eu", "b.eu")
        except Denied as error:
            assert error.code is Code.HOSTNAME_CONFLICT
            return False
        return True

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask()) for _ in range(10)]

    assert [task.result() for task in asked].count(True) == 1
