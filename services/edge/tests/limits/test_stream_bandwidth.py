"""Bandwidth of tenants whose clients go by streams."""

import asyncio
import time

import pytest
from support.limits import share_limits

from towonel.edge.limits.stream_bandwidth import StreamBandwidth
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import TenantLimits

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
MBYTE = 8_000_000  # bits; a burst has a tenth of that


async def seconds_of(bandwidth: StreamBandwidth, tenant: TenantId = ALICE) -> float:
    began = time.monotonic()
    await bandwidth.admit(tenant)
    return time.monotonic() - began


async def test_who_has_had_too_much_waits_and_others_do_not() -> None:
    limits = {ALICE: TenantLimits(bandwidth=MBYTE), BOB: TenantLimits(connections=1)}
    bandwidth = StreamBandwidth(limits)
    for tenant in (ALICE, BOB):
        bandwidth.spend(tenant, 300_000)

    assert await seconds_of(bandwidth, BOB) < 0.1
    assert await seconds_of(bandwidth) == pytest.approx(0.2, abs=0.1)
    assert await seconds_of(bandwidth) < 0.1


async def test_what_workers_have_carried_counts_too() -> None:
    control, worker = share_limits(2)
    bandwidth = StreamBandwidth({ALICE: TenantLimits(bandwidth=MBYTE)})
    bandwidth.share(control)
    await bandwidth.admit(ALICE)
    worker.find(ALICE, "bandwidth").add(300_000)

    assert await seconds_of(bandwidth) == pytest.approx(0.2, abs=0.1)


async def test_a_limit_that_changes_or_goes_holds_for_who_waits_already() -> None:
    limits = {ALICE: TenantLimits(bandwidth=MBYTE)}
    bandwidth = StreamBandwidth(limits)
    bandwidth.spend(ALICE, 50_000_000)
    waits = asyncio.create_task(bandwidth.admit(ALICE))
    await asyncio.sleep(0)
    limits[ALICE] = TenantLimits(bandwidth=1000 * MBYTE)
    async with asyncio.timeout(3):
        await waits
    bandwidth.spend(ALICE, 2**40)
    waits = asyncio.create_task(bandwidth.admit(ALICE))
    await asyncio.sleep(0)
    del limits[ALICE]
    async with asyncio.timeout(3):
        await waits
