"""Rates of new connections: how many a second a tenant that has such a limit gets."""

from typing import Final

from towonel.edge.core.shared_use import SharedLimits
from towonel.relay.core.rate_limit import RateLimit
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

BURST_S: Final = 1.0  # of a rate, at once after a while without a connection


class ConnectionRates:
    """Rates of tenants; one without a limit takes no memory.

    Args:
        shared: limits as other processes know them.
    """

    def __init__(self, shared: SharedLimits) -> None:
        self._shared = shared
        self._limits: dict[TenantId, tuple[int, RateLimit]] = {}

    def change(self, tenant_id: TenantId, per_s: int | None, now: float) -> None:
        """Let a tenant have so many new connections a second from now on; None for any number."""
        found = self._limits.pop(tenant_id, None)
        if per_s is None:
            return
        limit = None if found is None else found[1]
        if limit is None:
            use = self._shared.find(tenant_id, "connection_rate")
            limit = RateLimit(per_s, per_s * BURST_S, now, use)
        else:
            limit.change(per_s, per_s * BURST_S, now)
        self._limits[tenant_id] = per_s, limit

    def take(self, tenant_id: TenantId, now: float) -> None:
        """Count one more connection of a tenant.

        Raises:
            Denied: RATE_LIMITED.
        """
        found = self._limits.get(tenant_id)
        if found is None:
            return
        per_s, limit = found
        if not limit.has(1, now):
            detail = f"tenant {tenant_id.hex()} may have {per_s} new connections a second"
            raise Denied(Code.RATE_LIMITED, detail)
        limit.spend(1)
