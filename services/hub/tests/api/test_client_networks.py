"""Networks of clients of a service: published by agents, listed, and in the routes of edges."""

import pytest
from support.hub import TestHub, tenant_of

from towonel.api.services import DesiredState, ServiceIn
from towonel.identity.keys import TenantKey
from towonel.wire.errors import Code, Denied
from towonel.wire.policy.client_networks import ClientNetworks
from towonel.wire.routes import Route

pytestmark = pytest.mark.both_databases
HOME, OFFICE = ["192.0.2.0/24"], ["2001:db8::/32"]


async def publish(hub: TestHub, tenant: TenantKey, **cidrs: list[str]) -> None:
    hub.clock.now_ms += 1
    service = ServiceIn.model_validate({"kind": "https", "name": "a.eu", **cidrs})
    state = DesiredState(group="default", services=[service])
    await hub.client().apply_desired_state(tenant, state)


async def routes(hub: TestHub, since: int | None = None) -> tuple[int, tuple[Route, ...]]:
    hub.clock.now_ms += 1
    delta = await hub.client().follow_routes(hub.context.keys.node, since)
    return delta.revision, delta.routes


async def test_networks_of_a_service_are_in_its_route_and_in_what_is_listed(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    await publish(hub, tenant, allow_cidrs=[*HOME, *HOME, "::ffff:198.51.100.7"], deny_cidrs=OFFICE)
    _, (route,) = await routes(hub)
    client = hub.client()
    item, detail = (
        (await client.services.list()).services[0],
        await client.services.get("https:a.eu"),
    )
    listed = (await client.routes.list()).routes[0]

    allowed = [*HOME, "198.51.100.7/32"]
    assert route.clients == ClientNetworks(tuple(allowed), tuple(OFFICE))
    assert (item.allow_cidrs, item.deny_cidrs) == (allowed, OFFICE)
    assert (detail.allow_cidrs, detail.deny_cidrs) == (allowed, OFFICE)
    assert (listed.allow_cidrs, listed.deny_cidrs) == (allowed, OFFICE)


async def test_a_change_of_networks_alone_reaches_edges_as_a_change(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    await publish(hub, tenant)
    first, (open_route,) = await routes(hub)
    await publish(hub, tenant, deny_cidrs=HOME)
    second, (limited,) = await routes(hub, first)
    await publish(hub, tenant, deny_cidrs=HOME)
    same, unchanged = await routes(hub, second)
    await publish(hub, tenant)
    _, (open_again,) = await routes(hub, second)

    assert limited.clients == ClientNetworks((), tuple(HOME))
    assert (same, unchanged) == (second, ())
    assert open_again == open_route


async def test_networks_that_are_none_are_refused_with_what_was_meant(hub: TestHub) -> None:
    tenant = tenant_of(await hub.invite("a.eu"))
    with pytest.raises(Denied) as caught:
        await publish(hub, tenant, allow_cidrs=["192.0.2.1/24"])

    assert caught.value.code is Code.INVALID_REQUEST
    assert "https:a.eu: '192.0.2.1/24' is not a network such as 192.0.2.0/24" in caught.value.detail
