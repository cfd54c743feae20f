"""Admission control: limits on clients at once, in total, for each source and for each tenant.

A client is counted step by step, as it becomes known where it comes from and which tenant it wants
to reach, and is no longer counted anywhere once it leaves. One source gets only a share of whatever
places there are, so that it alone cannot keep everybody else out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey

type ShareKey = tuple[str, TenantId, ServiceKey | None]  # None: all services of the tenant


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Limits on clients at once; 0 admits no client.

    `source_share` is what one source may take of all places, and of those to one tenant or service.
    """

    clients: int
    per_source: int
    per_tenant: int
    source_share: float = 1.0

    def source_limit(self, places: int) -> int:
        """Return how many of `places` one source may take: one at least."""
        return max(int(places * self.source_share), 1)


class KeyedLimit[K]:
    """Counters with a limit, one for each key; a key whose count is 0 takes no memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[K, int] = {}

    def count(self, key: K) -> int:
        return self._counts.get(key, 0)

    def acquire(self, key: K, limit: int | None = None) -> bool:
        """Count one more, or return False at the limit, or at a lower one for this key now."""
        count = self._counts.get(key, 0)
        if count >= self.limit or (limit is not None and count >= limit):
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
    shares: list[ShareKey] = field(default_factory=list[ShareKey])


class Admission:
    """Counters of the clients that are here, which refuse a client above a limit."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.clients = 0
        self._limits = limits
        per_source = min(limits.per_source, limits.source_limit(limits.clients))
        self._sources = KeyedLimit[str](per_source)
        self._tenants = KeyedLimit[TenantId](limits.per_tenant)
        self._shares = KeyedLimit[ShareKey](limits.source_limit(limits.per_tenant))

    def admit(self) -> Ticket:
        """Count one more client, until its ticket is released.

        Raises:
            Unavailable: OVERLOADED, the limit on all clients is reached.
        """
        if self.clients >= self._limits.clients:
            raise Unavailable(Code.OVERLOADED, f"{self.clients} clients in flight")
        self.clients += 1
        return Ticket()

    def claim_source(self, ticket: Ticket, source: str) -> None:
        """Count the client for where it comes from, as `source_of` its address has it.

        Raises:
            Denied: LIMIT_EXCEEDED.
        """
        if not self._sources.acquire(source):
            raise Denied(Code.LIMIT_EXCEEDED, f"source {source} has {self._sources.limit} clients")
        ticket.source = source

    def claim_tenant(
        self, ticket: Ticket, tenant_id: TenantId, places: Mapping[ServiceKey | None, int]
    ) -> None:
        """Count the client for the tenant it wants to reach, and its source for its share of that.

        Args:
            ticket: of the client; its source is claimed already.
            tenant_id: that it wants to reach.
            places: for all clients together, on the sessions of the tenant (None), and on those
                that serve what it wants; 0 if there is none, which is for the upstream to refuse.

        Raises:
            Denied: LIMIT_EXCEEDED.
        """
        if not self._tenants.acquire(tenant_id):
            detail = f"tenant {tenant_id.hex()} has {self._tenants.limit} clients"
            raise Denied(Code.LIMIT_EXCEEDED, detail)
        ticket.tenant_id = tenant_id
        source = ticket.source
        assert source is not None, "the source is claimed before the tenant"
        source_limit = self._limits.source_limit
        for service, count in places.items():
            key = source, tenant_id, service
            if not self._shares.acquire(key, source_limit(count) if count else None):
                raise self._deny_share(key)
            ticket.shares.append(key)

    def release(self, ticket: Ticket) -> None:
        """Count a client no more, anywhere."""
        self.clients -= 1
        if ticket.source is not None:
            self._sources.release(ticket.source)
        if ticket.tenant_id is not None:
            self._tenants.release(ticket.tenant_id)
        for key in ticket.shares:
            self._shares.release(key)

    def _deny_share(self, key: ShareKey) -> Denied:
        source, tenant_id, service = key
        detail = f"source {source} has its share of {service or 'all'} of {tenant_id.hex()}"
        return Denied(Code.LIMIT_EXCEEDED, f"{detail}: {self._shares.count(key)} clients")
