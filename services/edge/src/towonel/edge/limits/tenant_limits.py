"""Limits of tenants in a worker: who may have one more client, and whose connections have a pacer."""

from collections.abc import Iterable, Mapping

from towonel.edge.core.admission import Admission, Ticket
from towonel.edge.core.connection_rates import ConnectionRates
from towonel.edge.core.shared_use import SharedLimits
from towonel.relay.core.rate_limit import RateLimit
from towonel.relay.loop import Loop
from towonel.relay.pacing.pacer import Pacer, plan_bytes
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits


class WorkerLimits:
    """Limits of the tenants that have some.

    Args:
        limits: as the route table has them.
        admission: counts clients.
        loop: of the worker.
        shared: limits as other processes know them.
    """

    def __init__(
        self,
        limits: Mapping[TenantId, TenantLimits],
        admission: Admission,
        loop: Loop,
        shared: SharedLimits,
    ) -> None:
        self._limits = limits
        self._admission = admission
        self._loop = loop
        self._shared = shared
        self._rates = ConnectionRates(shared)
        self._pacers: dict[TenantId, Pacer] = {}

    def change(self, tenants: Iterable[TenantId]) -> None:
        """Act on limits of tenants that have changed."""
        now = self._loop.wheel.now
        for tenant_id in tenants:
            limits = self._limits.get(tenant_id, NO_LIMITS)
            self._rates.change(tenant_id, limits.connection_rate, now)
            self._change_pacer(tenant_id, limits.bandwidth)

    def find_pacer(self, tenant_id: TenantId) -> Pacer | None:
        """Return the pacer of a tenant's connections; None where their bandwidth is not limited."""
        return self._pacers.get(tenant_id)

    def claim(
        self,
        ticket: Ticket,
        tenant_id: TenantId,
        places: Mapping[ServiceKey | None, int],
        *,
        is_new: bool,
    ) -> None:
        """Count a client for the tenant that it wants to reach, as `Admission.claim_tenant` does.

        Args:
            ticket: of the client.
            tenant_id: that it wants to reach.
            places: on the sessions of the tenant.
            is_new: whether no other worker has counted it before.

        Raises:
            Denied: LIMIT_EXCEEDED, TOO_MANY_CONNECTIONS or RATE_LIMITED.
        """
        own = self._limits.get(tenant_id)
        most = None if own is None else own.connections
        self._admission.claim_tenant(ticket, tenant_id, places, most)
        if is_new:
            self._rates.take(tenant_id, self._loop.wheel.now)

    def _change_pacer(self, tenant_id: TenantId, bandwidth: int | None) -> None:
        pacer = self._pacers.get(tenant_id)
        if bandwidth is None:
            if pacer is not None:
                del self._pacers[tenant_id]
                pacer.stop()
        elif pacer is None:
            use = self._shared.find(tenant_id, "bandwidth")
            limit = RateLimit(*plan_bytes(bandwidth), self._loop.wheel.now, use)
            self._pacers[tenant_id] = Pacer(self._loop, limit)
        else:
            pacer.change(bandwidth)
