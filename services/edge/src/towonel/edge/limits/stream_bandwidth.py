"""Bandwidth of tenants whose clients go by streams: control keeps it together with the workers."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from towonel.edge.core.shared_use import SharedLimits
from towonel.relay.core.rate_limit import RateLimit
from towonel.relay.pacing.pacer import plan_bytes
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import TenantLimits

_MIN_WAIT_S: Final = 0.005
_MAX_WAIT_S: Final = 1.0  # what workers spend, or a limit that is changed, is looked at again


class StreamBandwidth:
    """Bandwidth of tenants; one without a limit takes no memory, and waits for nothing.

    Args:
        limits: as the route table has them.
    """

    def __init__(self, limits: Mapping[TenantId, TenantLimits]) -> None:
        self._limits = limits
        self._shared: SharedLimits | None = None
        self._rates: dict[TenantId, tuple[int, RateLimit]] = {}

    def share(self, shared: SharedLimits) -> None:
        """Keep limits together with the workers, which run now."""
        self._shared = shared

    async def admit(self, tenant_id: TenantId) -> None:
        """Return when a chunk of a tenant's bytes may be read."""
        while (rate := self._find(tenant_id)) is not None:
            wait_s = rate.wait_s(1, time.monotonic())
            if not wait_s:
                return
            await asyncio.sleep(min(max(wait_s, _MIN_WAIT_S), _MAX_WAIT_S))

    def spend(self, tenant_id: TenantId, count: int) -> None:
        """Count bytes that were carried."""
        rate = self._find(tenant_id)
        if rate is not None:
            rate.spend(count)

    def _find(self, tenant_id: TenantId) -> RateLimit | None:
        limits = self._limits.get(tenant_id)
        bandwidth = None if limits is None else limits.bandwidth
        if bandwidth is None:
            self._rates.pop(tenant_id, None)
            return None
        before, rate = self._rates.get(tenant_id, (None, None))
        if rate is None:
            use = None if self._shared is None else self._shared.find(tenant_id, "bandwidth")
            rate = RateLimit(*plan_bytes(bandwidth), time.monotonic(), use)
        elif before != bandwidth:
            rate.change(*plan_bytes(bandwidth), time.monotonic())
        self._rates[tenant_id] = bandwidth, rate
        return rate
