"""Traffic counters of tenants and of their services on this edge: connections, and bytes both ways, as they pass.

A tenant is remembered while it has a connection, and for an hour after the last sweep that found it
with a session or a connection; so is each of its services, for as long as the tenant has a session. That is
long enough for a person who looks, and keeps reports as small as what is going on, whatever the number of
tenants that came by in a year. What a forgotten tenant did stays in the edge's own figures, which never go back.
"""

from collections.abc import Callable, Collection, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice

from towonel.wire.ids import TenantId

RETENTION_S = 3600.0
MAX_IDLE = 10_000  # without a connection; those with one are as many as clients at most

type OwnedService = tuple[TenantId, str]  # a tenant, and the key of one of its services: `tcp:ssh`


@dataclass(slots=True)
class Tally:
    """Counters of one tenant, of one service, or of all together."""

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


class Tallies[Key: Hashable]:
    """Tallies by key, and the sum of those that are forgotten."""

    def __init__(self, max_quiet: int) -> None:
        self._max_quiet = max_quiet
        self._busy: dict[Key, Tally] = {}
        self._quiet: dict[Key, Tally] = {}  # the longest quiet first
        self._forgotten = Tally()

    def add(self, key: Key, began: int, ended: int, bytes_in: int, bytes_out: int) -> Tally:
        """Count connections that began or ended, and bytes; return the tally, to add bytes to while one is open."""
        tally = self._busy.pop(key, None) or self._quiet.pop(key, None) or Tally()
        tally.connections_total += began
        tally.connections_active += began - ended
        tally.bytes_in += bytes_in
        tally.bytes_out += bytes_out
        if tally.connections_active:
            self._busy[key] = tally
        else:
            self._mark_idle(key, tally)
        return tally

    def latest(self, most: int) -> dict[Key, Tally]:
        """Return up to `most`: those with connections first, then the latest that had."""
        latest = ((key, self._quiet[key]) for key in reversed(self._quiet))
        return dict(islice(chain(self._busy.items(), latest), most))

    def total(self) -> Tally:
        """Return the sum of all, since the start."""
        total = Tally()
        for tally in chain([self._forgotten], self._busy.values(), self._quiet.values()):
            total.add(tally)
        return total

    def sweep(self, is_of_use: Callable[[Key], bool], now: float) -> None:
        """Forget what has been of no use for an hour; `now` in seconds, monotonic."""
        for key, tally in list(self._quiet.items()):
            if tally.last_used_at is None or is_of_use(key):
                tally.last_used_at = now
            elif now - tally.last_used_at >= RETENTION_S:
                self._forget(key)

    def _mark_idle(self, key: Key, tally: Tally) -> None:
        tally.last_used_at = None
        self._quiet[key] = tally
        if len(self._quiet) > self._max_quiet:
            self._forget(next(iter(self._quiet)))

    def _forget(self, key: Key) -> None:
        self._forgotten.add(self._quiet.pop(key))


class Traffic:
    """Counters of all tenants, and of each of their services."""

    def __init__(self, max_quiet: int = MAX_IDLE) -> None:
        self._tenants = Tallies[TenantId](max_quiet)
        self._services = Tallies[OwnedService](max_quiet)

    @contextmanager
    def connection(self, service: OwnedService) -> Generator[tuple[Tally, Tally]]:
        """Count a connection for the time of the block; its bytes are for the caller to add to both tallies."""
        tallies = self.add(service, began=1)
        try:
            yield tallies
        finally:
            self.add(service, ended=1)

    def add(
        self,
        service: OwnedService,
        *,
        began: int = 0,
        ended: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
    ) -> tuple[Tally, Tally]:
        """Count connections that began or ended, and bytes; return the tallies of the tenant and of the service."""
        counts = began, ended, bytes_in, bytes_out
        return self._tenants.add(service[0], *counts), self._services.add(service, *counts)

    def tenants(self, most: int) -> dict[TenantId, Tally]:
        """Return up to `most` tenants: those with connections first, then the latest that had."""
        return self._tenants.latest(most)

    def services(self, most: int) -> dict[OwnedService, Tally]:
        """Return up to `most` services, in the same order."""
        return self._services.latest(most)

    def total(self) -> Tally:
        """Return what all tenants did, since the start."""
        return self._tenants.total()

    def sweep(self, present: Collection[TenantId], now: float) -> None:
        """Forget who has been of no use for an hour.

        Args:
            present: tenants with a session.
            now: seconds, monotonic.
        """
        self._tenants.sweep(lambda tenant_id: tenant_id in present, now)
        self._services.sweep(lambda service: service[0] in present, now)
