"""A tenant that changes what it publishes without end: what it may cost the hub, and who waits."""

import asyncio
from typing import override

import pytest
from support.callers import code_of, refusal
from support.hub import TestHub, running_hub, state, tenant_of

from towonel.api.services import DesiredState
from towonel.hub.core.quotas import Quotas
from towonel.hub.core.rate_limits import Rate
from towonel.hub.live.rate_limits import MemoryLimiter
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.operations.change_tokens import ChangeTokens
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.transactions import Store
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


async def test_what_is_refused_for_another_reason_is_not_counted(database: Database) -> None:
    rate, quotas = Rate(1, 60), Quotas(services=40)
    async with running_hub(database, RouteChanges(), route_changes=rate, quotas=quotas) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        too_many = await code_of(publish(hub, tenant, state(*names(0, 50))))
        await publish(hub, tenant, state(*names(0, 40)))
        too_often = await code_of(publish(hub, tenant, state(*names(40, 20))))

    assert (too_many, too_often) == (Code.QUOTA_EXCEEDED, Code.RATE_LIMITED)


async def test_siblings_that_publish_the_same_at_once_are_counted_once(database: Database) -> None:
    async with running_hub(database, RouteChanges(), route_changes=Rate(1, 60)) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        store = hub.context.store
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks, store.write():
            for count in (1, 2):
                tasks.create_task(publish(hub, tenant, state(*names(0, 40))))
                while len(store._writing._waiters or ()) < count:
                    await asyncio.sleep(0.01)
        await publish(hub, tenant, state(*names(0, 60)))

        assert len((await hub.client().routes.list()).routes) == 60


async def test_what_siblings_go_on_publishing_is_no_change(database: Database) -> None:
    async with running_hub(database, RouteChanges(), route_changes=Rate(1, 90)) as hub:
        tenant = tenant_of(await hub.invite("*.example.eu"))
        await publish(hub, tenant, state(*names(0, 41), group="one"))
        await publish(hub, tenant, state(*names(0, 40), group="two"))
        await publish(hub, tenant, state(group="one"))  # of its 41 names it ends one
        refused = await code_of(publish(hub, tenant, state(group="two")))

    assert refused is Code.RATE_LIMITED


def test_a_write_uses_no_more_tokens_than_it_took() -> None:
    tokens = ChangeTokens(taken=2)
    tokens.use(2)
    with pytest.raises(Unavailable, match="meanwhile") as caught:
        tokens.use(3)

    assert (caught.value.code, caught.value.retry_after_s) == (Code.RATE_LIMITED, 1)
    with pytest.raises(Unavailable, match="later"):
        ChangeTokens(refusal=Unavailable(Code.RATE_LIMITED, "later")).use(1)


class LimiterOutsideWrites(MemoryLimiter):
    """Limiter that notes whether it is asked while a write holds the lock."""

    store: Store | None = None

    def __init__(self) -> None:
        super().__init__()
        self.asked_in_write: list[bool] = []

    @override
    async def take(self, key: str, rate: Rate, count: int = 1) -> None:
        if self.store is not None:
            self.asked_in_write.append(self.store._writing.locked())
        await super().take(key, rate, count)


async def test_no_write_waits_for_the_limits(database: Database) -> None:
    limiter = LimiterOutsideWrites()
    async with running_hub(database, RouteChanges(), limits=limiter) as hub:
        tenant = tenant_of(await hub.invite("a.eu"))
        limiter.store = hub.context.store
        await publish(hub, tenant, state("a.eu"))

    assert limiter.asked_in_write
    assert not any(limiter.asked_in_write)


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
