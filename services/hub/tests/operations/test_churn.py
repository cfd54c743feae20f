"""A tenant that changes what it publishes without end: what it may cost the hub, and who waits."""

import pytest
from support.callers import code_of, refusal
from support.hub import TestHub, running_hub, state, tenant_of

from towonel.api.services import DesiredState
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.identity.keys import TenantKey
from towonel.wire.errors import Code, Unavailable


async def publish(hub: TestHub, tenant: TenantKey, wanted: DesiredState) -> None:
    hub.clock.now_ms += 1
    await hub.client().apply_desired_state(tenant, wanted)


def names(first: int, count: int) -> list[str]:
    return [f"n{number}.example.eu" for number in range(first, first + count)]


async def test_a_tenant_that_changes_its_names_without_end_is_told_to_come_back(
    database: Database,
) -> None:
    async with running_hub(database, RouteChanges(), route_changes=Rate(1, 60)) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        other = tenant_of(await hub.invite("other.eu"))
        for first in (0, 20):  # 20 names, then 20 others in place of them
            await publish(hub, tenant, state(*names(first, 20)))
        await publish(hub, tenant, state(*names(20, 20)))  # the same again is no change
        refused = await refusal(publish(hub, tenant, state(*names(40, 20))))
        await publish(hub, other, state("other.eu"))
        routes = (await hub.client().routes.list()).routes

    assert isinstance(refused, Unavailable)
    assert refused.code is Code.RATE_LIMITED
    assert 38 < (refused.retry_after_s or 0) <= 40
    assert len(routes) == 21


async def test_a_tenant_has_so_many_groups_and_keeps_those_it_has(database: Database) -> None:
    async with running_hub(database, RouteChanges(), quotas=Quotas(groups=2)) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        for group in ("one", "two"):
            await publish(hub, tenant, state("a.example.eu", group=group))
        third = state("a.example.eu", group="three")
        code = await code_of(publish(hub, tenant, third))
        await publish(hub, tenant, state("b.example.eu", group="two"))
        await publish(hub, tenant, state(group="one"))
        await publish(hub, tenant, third)

    assert code is Code.QUOTA_EXCEEDED


@pytest.mark.both_databases
async def test_services_of_all_groups_are_counted_in_each(database: Database) -> None:
    async with running_hub(database, RouteChanges(), quotas=Quotas(group_services=5)) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        await publish(hub, tenant, state(*names(0, 3), group="one"))
        code = await code_of(publish(hub, tenant, state(*names(0, 3), group="two")))
        await publish(hub, tenant, state(*names(0, 2), group="two"))

    assert code is Code.QUOTA_EXCEEDED
