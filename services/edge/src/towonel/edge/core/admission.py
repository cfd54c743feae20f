"""Admission control: limits on clients at once, in total, for each source and for each tenant.

A client is counted step by step, as it becomes known where it comes from and which tenant it wants
to reach, and is no longer counted anywhere once it leaves. One source gets only a share of whatever
places there are, so that it alone cannot keep everybody else out. Clients of other workers count, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from towonel.edge.core.shared_clients import Places, SharedClients
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
    """Counters with a limit, one for each key; a key whose count is 0 takes no memory.

    Args:
        limit: of each key, in all workers.
        shared: counts of other workers, if there are any.
        encode: returns the bytes by which a key is known to them.
    """

    def __init__(
        self,
        limit: int,
        shared: SharedClients | None = None,
        encode: Callable[[K], bytes] = lambda key: str(key).encode(),
    ) -> None:
        self.limit = limit
        self._shared = shared
        self._encode = encode
        self._counts: dict[K, int] = {}
        self._places: dict[K, Places] = {}

    def count(self, key: K) -> int:
        return self._counts.get(key, 0)

    def acquire(self, key: K, limit: int | None = None) -> bool:
        """Count one more, or return False at the limit, or at a lower one for this key now."""
        count = self._counts.get(key, 0)
        if limit is None or limit > self.limit:
            limit = self.limit
        if self._shared is not None:
            return self._acquire_shared(self._shared, key, count, limit)
        if count >= limit:
            return False
        self._counts[key] = count + 1
        return True

    def release(self, key: K) -> None:
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
        if self._shared is not None:
            places = self._places[key] if left else self._places.pop(key)
            self._shared.add(places, -1)

    def _acquire_shared(self, shared: SharedClients, key: K, count: int, limit: int) -> bool:
        places = self._places.get(key) or shared.find_places(self._encode(key))
        if count + shared.count_elsewhere(places) >= limit:
            return False
        self._counts[key] = count + 1
        self._places[key] = places
        shared.add(places, 1)
        return True


@dataclass(slots=True)
class Ticket:
    """Record of what one client counts for."""

    source: str | None = None
    tenant_id: TenantId | None = None
    shares: list[ShareKey] = field(default_factory=list[ShareKey])


class Admission:
    """Counters of the clients that are here, which refuse a client above a limit.

    Args:
        limits: for all workers together.
        shared: counts of other workers, if there are any.
    """

    def __init__(self, limits: AdmissionLimits, shared: SharedClients | None = None) -> None:
        self.clients = 0
        self._limits = limits
        self._shared = shared
        per_source = min(limits.per_source, limits.source_limit(limits.clients))
        self._sources = KeyedLimit[str](per_source, shared)
        self._tenants = KeyedLimit[TenantId](limits.per_tenant, shared, bytes)
        of_tenant = limits.source_limit(limits.per_tenant)
        self._shares = KeyedLimit[ShareKey](of_tenant, shared, _encode_share)

    def admit(self) -> Ticket:
        """Count one more client, until its ticket is released.

        Raises:
            Unavailable: OVERLOADED, the limit on all clients is reached.
        """
        clients = self.clients
        if self._shared is not None:
            clients += self._shared.elsewhere
        if clients >= self._limits.clients:
            raise Unavailable(Code.OVERLOADED, f"{clients} clients in flight")
        self._count(1)
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
        self,
        ticket: Ticket,
        tenant_id: TenantId,
        places: Mapping[ServiceKey | None, int],
        most: int | None = None,
    ) -> None:
        """Count the client for the tenant it wants to reach, and its source for its share of that.

        Args:
            ticket: of the client; its source is claimed already.
            tenant_id: that it wants to reach.
            places: for all clients together, on the sessions of the tenant (None), and on those
                that serve what it wants; 0 if there is none, which is for the upstream to refuse.
            most: clients that this tenant may have, where that is a limit of its own.

        Raises:
            Denied: LIMIT_EXCEEDED, or TOO_MANY_CONNECTIONS at the tenant's own limit.
        """
        if not self._tenants.acquire(tenant_id, most):
            if most is not None and most < self._tenants.limit:
                detail = f"tenant {tenant_id.hex()} may have {most} clients"
                raise Denied(Code.TOO_MANY_CONNECTIONS, detail)
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
        self._count(-1)
        if ticket.source is not None:
            self._sources.release(ticket.source)
        if ticket.tenant_id is not None:
            self._tenants.release(ticket.tenant_id)
        for key in ticket.shares:
            self._shares.release(key)

    def _count(self, change: int) -> None:
        self.clients += change
        if self._shared is not None:
            self._shared.put(self.clients)

    def _deny_share(self, key: ShareKey) -> Denied:
        source, tenant_id, service = key
        detail = f"source {source} has its share of {service or 'all'} of {tenant_id.hex()}"
        return Denied(Code.LIMIT_EXCEEDED, f"{detail}: {self._shares.count(key)} clients")


def _encode_share(key: ShareKey) -> bytes:
    source, tenant_id, service = key
    return b"%b %b %b" % (
        source.encode(),
        tenant_id,
        b"" if service is None else str(service).encode(),
    )
