"""One name of several groups: its TLS ends in one place, and whoever comes second is refused with the reason."""

from typing import Literal

import pytest
from support.hub import TestHub, new_key, tenant_of

from towonel.api.services import AppliedState, DesiredState, ServiceIn
from towonel.identity.grants import GRANT_LIFETIME_MS
from towonel.wire.errors import Code, Denied
from towonel.wire.tokens import InviteToken

type Mode = Literal["passthrough", "terminate", "agent"]

NAME = "app.example.eu"
KEY = f"https:{NAME}"


async def start(hub: TestHub, token: InviteToken, group: str, *modes: Mode) -> AppliedState:
    """Start an agent of a group, which publishes."""
    await hub.client().bootstrap(token, new_key(), group)
    return await publish(hub, token, group, *modes)


async def publish(hub: TestHub, token: InviteToken, group: str, *modes: Mode) -> AppliedState:
    hub.clock.now_ms += 10
    services = [ServiceIn(kind="https", name=NAME, tls_mode=mode) for mode in modes]
    wanted = DesiredState(group=group, services=services)
    return await hub.client().apply_desired_state(tenant_of(token), wanted)


@pytest.mark.both_databases
@pytest.mark.parametrize("mode", ["passthrough", "agent"])
async def test_a_group_cannot_end_tls_elsewhere_than_another_one_does(
    hub: TestHub, mode: Mode
) -> None:
    token = await hub.invite(NAME)
    await start(hub, token, "home", mode)
    with pytest.raises(Denied) as caught:
        await start(hub, token, "cloud", "terminate")

    assert caught.value.code is Code.HOSTNAME_CONFLICT
    assert f"{NAME} (group home, {mode})" in caught.value.detail
    assert (await hub.client().services.get(KEY)).tls_mode == mode


async def test_groups_that_agree_share_the_name(hub: TestHub) -> None:
    token = await hub.invite(NAME)
    await start(hub, token, "home", "terminate")
    await start(hub, token, "cloud", "terminate")

    assert (await hub.client().services.get(KEY)).groups == ["cloud", "home"]


async def test_a_group_alone_changes_where_its_tls_ends(hub: TestHub) -> None:
    token = await hub.invite(NAME)
    await start(hub, token, "home", "passthrough")
    await start(hub, token, "elsewhere")
    applied = await publish(hub, token, "home", "terminate")

    assert applied.changed == [KEY]
    assert (await hub.client().services.get(KEY)).tls_mode == "terminate"


async def test_groups_change_one_after_the_other_while_one_of_them_publishes(hub: TestHub) -> None:
    token = await hub.invite(NAME)
    for group in ("home", "cloud"):
        await start(hub, token, group, "passthrough")
    with pytest.raises(Denied):
        await publish(hub, token, "home", "terminate")
    await publish(hub, token, "cloud")
    await publish(hub, token, "home", "terminate")
    await publish(hub, token, "cloud", "terminate")

    assert (await hub.client().services.get(KEY)).groups == ["cloud", "home"]


async def test_a_group_without_an_agent_that_may_serve_holds_nothing(hub: TestHub) -> None:
    token = await hub.invite(NAME)
    await start(hub, token, "home", "passthrough")
    hub.clock.now_ms += GRANT_LIFETIME_MS
    await start(hub, token, "cloud", "terminate")
    with pytest.raises(Denied, match=r"app\.example\.eu \(group cloud, terminate\)"):
        await start(hub, token, "home", "passthrough")

    assert (await hub.client().services.get(KEY)).tls_mode == "terminate"


async def test_a_name_that_another_tenant_had_comes_with_nothing_of_its(hub: TestHub) -> None:
    before = await hub.invite("*.example.eu")
    await start(hub, before, "home", "passthrough")
    after = await hub.invite(NAME)  # more specific: the name is its own from now on
    applied = await start(hub, after, "cloud", "terminate")

    assert applied.created == [KEY]


@pytest.mark.both_databases
async def test_http_2_is_listed_and_reaches_edges(hub: TestHub) -> None:
    token = await hub.invite(NAME)
    await publish(hub, token, "home", "terminate")
    hub.clock.now_ms += 10
    wanted = ServiceIn(kind="https", name=NAME, tls_mode="terminate", http2=True)
    state = DesiredState(group="home", services=[wanted])
    applied = await hub.client().apply_desired_state(tenant_of(token), state)
    client, edge = hub.client(), hub.context.keys.node
    delta = await client.follow_routes(edge, None)

    assert applied.changed == [KEY]
    assert [route.http2 for route in delta.routes] == [True]
    assert (await client.services.get(KEY)).http2
    assert (await client.services.list()).services[0].http2
    assert (await client.routes.list()).routes[0].http2
