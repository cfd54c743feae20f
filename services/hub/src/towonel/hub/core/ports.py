"""Rules of public ports: reservations, published ports, the hub's own ports and free ones."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import override

from towonel.api.ports import LAST_PORT
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId
from towonel.wire.policy.port_ranges import format_ports

FIRST_UNPRIVILEGED_PORT = 1024


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Range of ports of one protocol and one tenant, both ends included."""

    protocol: str
    first: int
    last: int
    tenant_id: TenantId

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def overlaps(self, other: "Range") -> bool:
        """Whether two ranges of one protocol share a port."""
        same = self.protocol == other.protocol
        return same and self.first <= other.last and other.first <= self.last

    @override
    def __str__(self) -> str:
        return f"{self.protocol}:{format_ports(self.first, self.last)}"


@dataclass(frozen=True, slots=True)
class PortRules:
    """Rules of ports for all tenants.

    Args:
        privileged: whether tenants may have ports below 1024.
        own: ports of the hub and its edges, which no tenant may have.
        reserved_only: whether a port must be reserved before it is published.
    """

    privileged: bool = False
    own: Collection[int] = ()
    reserved_only: bool = False

    def problem(self, first: int, last: int) -> str | None:
        """Return why no tenant may have these ports, or None if they are allowed."""
        if first < FIRST_UNPRIVILEGED_PORT and not self.privileged:
            return (
                f"port {first} is below {FIRST_UNPRIVILEGED_PORT}; the hub's operator can allow"
                " that with TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS=true"
            )
        taken = sorted(port for port in self.own if first <= port <= last)
        if taken:
            return (
                f"port {taken[0]} is the hub's or an edge's own (TOWONEL_HUB_RESERVED_PORTS);"
                " take another"
            )
        return None

    def allows(self, port: int) -> bool:
        """Whether tenants may have a port."""
        return port not in self.own and (self.privileged or port >= FIRST_UNPRIVILEGED_PORT)


def check_reservation(
    requested: Range,
    rules: PortRules,
    reserved: Iterable[Range],
    published: Iterable[Range],
    edges: Mapping[int, str],
) -> None:
    """Check that ports can be reserved for a tenant.

    Args:
        requested: the ports and their tenant.
        rules: the rules for all tenants.
        reserved: all reservations that could overlap.
        published: published ports that could overlap.
        edges: an address of an edge for each port that edges are reached at.

    Raises:
        Denied: INVALID_REQUEST for ports that no tenant may have, PORT_CONFLICT naming the ranges
            that overlap, or the edges.
    """
    problem = rules.problem(requested.first, requested.last)
    if problem:
        raise Denied(Code.INVALID_REQUEST, problem)
    overlapping = [str(held) for held in sorted(reserved) if held.overlaps(requested)]
    if overlapping:
        raise Denied(Code.PORT_CONFLICT, f"reserved already: {', '.join(overlapping[:20])}")
    foreign = [
        str(held)
        for held in sorted(published)
        if held.overlaps(requested) and held.tenant_id != requested.tenant_id
    ]
    if foreign:
        raise Denied(Code.PORT_CONFLICT, f"published by another tenant: {', '.join(foreign[:20])}")
    of_edges = [f"{port} ({edges[port]})" for port in sorted(edges) if port in requested]
    if of_edges:
        detail = f"an edge is reached there: {', '.join(of_edges[:20])}; reserve other ports"
        raise Denied(Code.PORT_CONFLICT, detail)


def free_ports(protocol: str, rules: PortRules, held: Iterable[Range], count: int) -> Iterator[int]:
    """Yield the lowest free ports, at most `count`."""
    taken = sorted((held.first, held.last) for held in held if held.protocol == protocol)
    own = set(rules.own)
    port, found = (1 if rules.privileged else FIRST_UNPRIVILEGED_PORT), 0
    for first, last in [*taken, (LAST_PORT + 1, LAST_PORT + 1)]:
        while port < first and found < count:
            if port not in own:
                yield port
                found += 1
            port += 1
        port = max(port, last + 1)
