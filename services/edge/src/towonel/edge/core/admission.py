"""Admission control: limits on clients at once, in total, for each source and for each tenant.

A client is counted step by step, as it becomes known where it comes from and which tenant it wants
to reach, and is no longer counted anywhere once it leaves.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from towonel.runtime.addresses import IpAddress, source_of
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Limits on clients at once; 0 admits no client."""

    clients: int
    per_source: int
    per_tenant: int


class KeyedLimit[K]:
    """Counters with a limit, one for each key; a key whose count is 0 takes no memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[K, int] = {}

    def count(self, key: K) -> int:
        return self._counts.get(key, 0)

    def acquire(self, key: K) -> bool:
        """Count one more, or return False at the limit."""
        count = self.count(key)
        if count >= self.limit:
            return False
        self._counts[key] = count + 1
        return True

    def release(self, key: K) -> None:
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]


@dataclass(slots=True)
class Ticket:
    """Record of what one client counts for."""

    source: str | None = None
    tenant_id: TenantId | None = None


class Admission:
    """Counters of the clients that are here, which refuse a client above a limit."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.clients = 0
        self._limit = limits.clients
        self._sources = KeyedLimit[str](limits.per_source)
        self._tenants = KeyedLimit[TenantId](limits.per_tenant)

    @contextmanager
    def admit(self) -> Generator[Ticket]:
        """Count one more client for the time of the block.

        Raises:
            Unavailable: OVERLOADED, the limit on all clients is reached.
        """
        if self.clients >= self._limit:
            raise Unavailable(Code.OVERLOADED, f"{self.clients} clients in flight")
        self.clients += 1
        ticket = Ticket()
        try:
            yield ticket
        finally:
            self._release(ticket)

    def claim_source(self, ticket: Ticket, address: IpAddress) -> None:
        """Count the client for the address it comes from.

        Raises:
            Denied: LIMIT_EXCEEDED.
        """
        source = source_of(address)
        if not self._sources.acquire(source):
            raise Denied(Code.LIMIT_EXCEEDED, f"source {source} has {self._sources.limit} clients")
        ticket.source = source

    def claim_tenant(self, ticket: Ticket, tenant_id: TenantId) -> None:
        """Count the client for the tenant it wants to reach.

        Raises:
            Denied: LIMIT_EXCEEDED.
        """
        if not self._tenants.acquire(tenant_id):
            detail = f"tenant {tenant_id.hex()} has {self._tenants.limit} clients"
            raise Denied(Code.LIMIT_EXCEEDED, detail)
        ticket.tenant_id = tenant_id

    def _release(self, ticket: Ticket) -> None:
        self.clients -= 1
        if ticket.source is not None:
            self._sources.release(ticket.source)
        if ticket.tenant_id is not None:
            self._tenants.release(ticket.tenant_id)
