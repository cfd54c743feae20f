"""Clients of one worker by service, as traffic counts them: those of a worker that is lost have ended."""

from collections.abc import Iterable

from towonel.edge.core.traffic import OwnedService, Traffic
from towonel.edge.worker.counters import ServiceRow
from towonel.wire.ids import TenantId


class ServiceClients:
    """Clients, or flows, that a worker has now.

    Args:
        traffic: what is counted for each service.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._active: dict[OwnedService, int] = {}  # of those that have some

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self._active.values())

    def count(self, rows: Iterable[ServiceRow]) -> None:
        """Count what the worker has counted."""
        for tenant, key, began, ended, bytes_in, bytes_out in rows:
            service = TenantId(tenant), key
            left = self._active.pop(service, 0) + began - ended
            if left:
                self._active[service] = left
            self._traffic.add(
                service, began=began, ended=ended, bytes_in=bytes_in, bytes_out=bytes_out
            )

    def lose(self) -> None:
        """Count them as ended: the worker is gone."""
        for service, active in self._active.items():
            self._traffic.add(service, ended=active)
        self._active.clear()
