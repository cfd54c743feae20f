"""Writes of a tenant that has many agents, or many addresses: others do not wait behind them."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from towonel.hub.bounds import Bounds
from towonel.hub.live.tenant_writes import TenantWrites
from towonel.wire.errors import Code, Unavailable

FEW = replace(Bounds(), tenant_writes=2, waiting_tenant_writes=1)


async def test_a_tenant_writes_so_much_at_once_some_waits_and_the_rest_is_refused() -> None:
    writes, running, ending = TenantWrites(FEW), list[str](), asyncio.Event()

    async def write(tenant: str) -> None:
        async with writes.admit(tenant.encode()):
            running.append(tenant)
            await ending.wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for tenant in ("one", "one", "one", "other"):
            tasks.create_task(write(tenant))
        while "other" not in running:
            await asyncio.sleep(0)
        before = sorted(running)
        with pytest.raises(Unavailable) as refused:
            await write("one")
        ending.set()

    assert before == ["one", "one", "other"]
    assert sorted(running) == ["one", "one", "one", "other"]
    assert (refused.value.code, refused.value.retry_after_s) == (Code.RATE_LIMITED, 1)
    assert not writes._running


async def test_who_waits_for_too_long_is_told_to_come_back_and_leaves_its_place() -> None:
    writes = TenantWrites(replace(FEW, tenant_write_wait_s=0.01))
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as held:
        for _ in range(FEW.tenant_writes):
            await held.enter_async_context(writes.admit(b"one"))
        codes = [await refusal(writes) for _ in range(3)]

    assert codes == [Code.HUB_UNAVAILABLE] * 3


async def refusal(writes: TenantWrites) -> Code:
    with pytest.raises(Unavailable) as refused:
        async with writes.admit(b"one"):
            pass
    return refused.value.code
