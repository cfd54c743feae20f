"""Limits of flows: how many a source and a tenant have, and what a tenant that has limits of its own may send and get.

A tenant's rates are those of its clients over TCP as well: the flow worker and all others keep them together.
"""

import os
from typing import Final

from towonel.edge.core.admission import KeyedLimit
from towonel.edge.core.connection_rates import ConnectionRates
from towonel.edge.core.shared_use import COLUMNS, LimitUse, SharedLimits
from towonel.edge.flows.messages import LimitsMemory, Start
from towonel.relay.core.rate_limit import RateLimit
from towonel.relay.pacing.pacer import plan_bytes
from towonel.relay.shared_rows import map_rows
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits

_SHARE: Final = 0.5  # of a bandwidth, which flows have at least while clients over TCP want all
OVER_BANDWIDTH: Final = "over_bandwidth"  # why a datagram is dropped


class FlowBandwidth:
    """Bandwidth of a tenant, as far as its flows may have it.

        tokens of all, more than half a burst ──▶ a datagram passes: clients over TCP leave them
        else, tokens of flows alone ────────────▶ it passes too: half of the bandwidth is theirs
        else ───────────────────────────────────▶ it is dropped

    Clients over TCP wait for the first token there is, and so have the other half, however many datagrams come.

    Args:
        bits_per_s: of all clients together.
        now: in seconds.
        use: by all other processes.
    """

    def __init__(self, bits_per_s: int, now: float, use: LimitUse) -> None:
        per_s, burst = plan_bytes(bits_per_s)
        self._reserve = burst * _SHARE
        self._all = RateLimit(per_s, burst, now, use)
        self._own = RateLimit(per_s * _SHARE, burst * _SHARE, now)

    def change(self, bits_per_s: int, now: float) -> None:
        """Use another one from now on."""
        per_s, burst = plan_bytes(bits_per_s)
        self._reserve = burst * _SHARE
        self._all.change(per_s, burst, now)
        self._own.change(per_s * _SHARE, burst * _SHARE, now)

    def admits(self, size: int, now: float) -> bool:
        """Whether a datagram may pass now; one that may is counted."""
        if not self._all.has(self._reserve, now):
            if not self._own.has(1, now):
                return False
            self._own.spend(size)
        self._all.spend(size)
        return True


class FlowLimits:
    """Limits of all flows of an edge.

    Args:
        start: those that hold for every source and tenant.
        shared: limits of tenants as other processes know them.
    """

    def __init__(self, start: Start, shared: SharedLimits) -> None:
        self._sources = KeyedLimit[str](start.per_source)
        self._tenants = KeyedLimit[TenantId](start.per_tenant)
        self._shared = shared
        self._limits: dict[TenantId, TenantLimits] = {}
        self._rates = ConnectionRates(shared)
        self._bandwidths: dict[TenantId, FlowBandwidth] = {}

    def change(self, tenant_id: TenantId, limits: TenantLimits, now: float) -> None:
        """Let a tenant have these limits of its own from now on; flows that there are stay."""
        if limits == NO_LIMITS:
            self._limits.pop(tenant_id, None)
        else:
            self._limits[tenant_id] = limits
        self._rates.change(tenant_id, limits.connection_rate, now)
        found = self._bandwidths.pop(tenant_id, None)
        if limits.bandwidth is None:
            return
        if found is None:
            use = self._shared.find(tenant_id, "bandwidth")
            found = FlowBandwidth(limits.bandwidth, now, use)
        else:
            found.change(limits.bandwidth, now)
        self._bandwidths[tenant_id] = found

    def acquire(self, source: str, tenant_id: TenantId, now: float) -> None:
        """Count one more flow, until it is released.

        Raises:
            Denied: LIMIT_EXCEEDED, TOO_MANY_CONNECTIONS or RATE_LIMITED.
        """
        if not self._sources.acquire(source):
            raise Denied(Code.LIMIT_EXCEEDED, f"source {source}: {self._sources.limit} flows")
        try:
            self._acquire_of(tenant_id, now)
        except Denied:
            self._sources.release(source)
            raise

    def release(self, source: str, tenant_id: TenantId) -> None:
        """Count a flow no more."""
        self._sources.release(source)
        self._tenants.release(tenant_id)

    def admits(self, tenant_id: TenantId, size: int, now: float) -> bool:
        """Whether a datagram of a tenant may pass now; one that may is counted."""
        found = self._bandwidths.get(tenant_id) if self._bandwidths else None
        return found is None or found.admits(size, now)

    def _acquire_of(self, tenant_id: TenantId, now: float) -> None:
        most = self._limits.get(tenant_id, NO_LIMITS).connections
        if not self._tenants.acquire(tenant_id, most):
            limit = self._tenants.limit
            if most is not None and most < limit:
                detail = f"tenant {tenant_id.hex()} may have {most} flows"
                raise Denied(Code.TOO_MANY_CONNECTIONS, detail)
            raise Denied(Code.LIMIT_EXCEEDED, f"tenant {tenant_id.hex()}: {limit} flows")
        try:
            self._rates.take(tenant_id, now)
        except Denied:
            self._tenants.release(tenant_id)
            raise


def share_limits(memory: LimitsMemory, descriptor: int) -> SharedLimits:
    """Return limits of tenants as this process shares them; the descriptor is closed."""
    try:
        rows = map_rows(descriptor, memory.rows, memory.columns)
    finally:
        os.close(descriptor)
    return SharedLimits([row[-COLUMNS:] for row in rows], memory.rows - 1, memory.secret)
