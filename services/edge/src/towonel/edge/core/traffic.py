"""Traffic counters of tenants on this edge: connections, and bytes both ways, as they pass.

A tenant is remembered while it has a connection, and for an hour after the last sweep that found it
with a session or a connection. That is long enough for a person who looks, and keeps reports as
small as what is going on, whatever the number of tenants that came by in a year. What a forgotten
tenant did stays in the edge's own figures, which never go back.
"""

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice

from towonel.wire.ids import TenantId

RETENTION_S = 3600.0
MAX_IDLE = 10_000  # tenants without a connection; those with one are as many as clients at most


@dataclass(slots=True)
class Tally:
    """Counters of one tenant, or of all together."""

    connections_active: int = 0
    connections_total: int = 0
    bytes_in: int = 0  # from clients to origins
    bytes_out: int = 0
    last_used_at: float | None = None  # when a sweep last found it of use

    def add(self, other: "Tally") -> None:
        self.connections_active += other.connections_active
        self.connections_total += other.connections_total
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out


class Traffic:
    """Counters of all tenants, and the sum of those that are forgotten."""

    def __init__(self, max_quiet: int = MAX_IDLE) -> None:
        self._max_quiet = max_quiet
        self._busy: dict[TenantId, Tally] = {}
        self._quiet: dict[TenantId, Tally] = {}  # the longest quiet first
        self._forgotten = Tally()

    @contextmanager
    def connection(self, tenant_id: TenantId) -> Generator[Tally]:
        """Count a connection to a tenant for the time of the block; its bytes are for the caller."""
        self.add(tenant_id, began=1)
        try:
            yield self._busy[tenant_id]
        finally:
            self.add(tenant_id, ended=1)

    def add(
        self,
        tenant_id: TenantId,
        *,
        began: int = 0,
        ended: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
    ) -> None:
        """Count connections that began or ended, and bytes."""
        tally = self._busy.pop(tenant_id, None) or self._quiet.pop(tenant_id, None) or Tally()
        tally.connections_total += began
        tally.connections_active += began - ended
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        if tally.connections_active:
            self._busy[tenant_id] = tally
        else:
            self._mark_idle(tenant_id, tally)

    def tenants(self, most: int) -> dict[TenantId, Tally]:
        """Return up to `most` tenants: those with connections first, then the latest that had."""
        latest = ((tenant_id, self._quiet[tenant_id]) for tenant_id in reversed(self._quiet))
        return dict(islice(chain(self._busy.items(), latest), most))

    def total(self) -> Tally:
        """Return what all tenants did, since the start."""
        total = Tally()
        for tally in chain([self._forgotten], self._busy.values(), self._quiet.values()):
            total.add(tally)
        return total

    def sweep(self, present: Collection[TenantId], now: float) -> None:
        """Forget who has been of no use for an hour.

        Args:
            present: tenants with a session.
            now: seconds, monotonic.
        """
        for tenant_id, tally in list(self._quiet.items()):
            if tally.last_used_at is None or tenant_id in present:
                tally.last_used_at = now
            elif now - tally.last_used_at >= RETENTION_S:
                self._forget(tenant_id)

    def _mark_idle(self, tenant_id: TenantId, tally: Tally) -> None:
        tally.last_used_at = None
        self._quiet[tenant_id] = tally
        if len(self._quiet) > self._max_quiet:
            self._forget(next(iter(self._quiet)))

    def _forget(self, tenant_id: TenantId) -> None:
        self._forgotten.add(self._quiet.pop(tenant_id))
