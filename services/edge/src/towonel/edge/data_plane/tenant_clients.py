"""Clients of one worker by tenant, as traffic counts them: those of a worker that is lost have ended."""

from collections.abc import Iterable

from towonel.edge.core.traffic import Traffic
from towonel.edge.worker.counters import TenantRow
from towonel.wire.ids import TenantId


class TenantClients:
    """Clients, or flows, that a worker has now.

    Args:
        traffic: what is counted for each tenant.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._active: dict[TenantId, int] = {}  # of tenants that have some

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self._active.values())

    def count(self, rows: Iterable[TenantRow]) -> None:
        """Count what the worker has counted."""
        for key, began, ended, bytes_in, bytes_out in rows:
            tenant_id = TenantId(key)
            left = self._active.pop(tenant_id, 0) + began - ended
            if left:
                self._active[tenant_id] = left
            self._traffic.add(
                tenant_id, began=began, ended=ended, bytes_in=bytes_in, bytes_out=bytes_out
            )

    def lose(self) -> None:
        """Count them as ended: the worker is gone."""
        for tenant_id, active in self._active.items():
            self._traffic.add(tenant_id, ended=active)
        self._active.clear()
