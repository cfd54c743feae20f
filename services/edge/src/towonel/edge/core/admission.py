"""How many clients may be here at once: altogether, from one source, for one tenant.

A client takes its places one after the other, as it becomes known who it is and what it wants, and
gives all of them back when it leaves.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId

IPV6_SOURCE_BITS = 64  # one subscriber gets a /64 at least, and may use every address in it


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Clients at once; 0 admits nobody."""

    clients: int
    per_source: int
    per_tenant: int


def source_of(address: IPv4Address | IPv6Address) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), IPV6_SOURCE_BITS), strict=False))


class KeyedLimit[K]:
    """At most `limit` places for each key; keys without a taken place are forgotten."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: dict[K, int] = {}

    def count(self, key: K) -> int:
        return self._taken.get(key, 0)

    def acquire(self, key: K) -> bool:
        """Take one, or return False when none is left."""
        taken = self.count(key)
        if taken >= self.limit:
            return False
        self._taken[key] = taken + 1
        return True

    def release(self, key: K) -> None:
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]


@dataclass(slots=True)
class Ticket:
    """The places of one client."""

    source: str | None = None
    tenant_id: TenantId | None = None
    is_released: bool = False


class Admission:
    """Hand out tickets while there are places, and take them back."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.clients = 0
        self._limit = limits.clients
        self._sources = KeyedLimit[str](limits.per_source)
        self._tenants = KeyedLimit[TenantId](limits.per_tenant)

    def take(self) -> Ticket:
        """Admit one more client.

        Raises:
            Unavailable: OVERLOADED, all places are taken.
        """
        if self.clients >= self._limit:
            raise Unavailable(Code.OVERLOADED, f"{self.clients} clients in flight")
        self.clients += 1
        return Ticket()

    def claim_source(self, ticket: Ticket, address: IPv4Address | IPv6Address) -> None:
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

    def release(self, ticket: Ticket) -> None:
        """Give back every place of a client; only the first call counts."""
        if ticket.is_released:
            return
        ticket.is_released = True
        self.clients -= 1
        if ticket.source is not None:
            self._sources.release(ticket.source)
        if ticket.tenant_id is not None:
            self._tenants.release(ticket.tenant_id)
