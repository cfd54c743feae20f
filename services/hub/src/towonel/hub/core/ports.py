"""Whose a port is: reserved for a tenant, published by one, the hub's own, or free."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import override

from towonel.wire.errors import Code, Denied
from towonel.wire.ids import TenantId

FIRST_UNPRIVILEGED_PORT = 1024
LAST_PORT = 65_535


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Ports of one protocol that are kept for one tenant, both ends included."""

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
        """Whether a port is in both."""
        same = self.protocol == other.protocol
        return same and self.first <= other.last and other.first <= self.last

    @override
    def __str__(self) -> str:
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol}:{ports}"


@dataclass(frozen=True, slots=True)
class PortRules:
    """What holds for every tenant.

    Args:
        privileged: whether ports below 1024 may be had.
        own: ports of the hub and its edges, which nobody gets.
        reserved_only: whether a port must be reserved before it is published.
    """

    privileged: bool = False
    own: Collection[int] = ()
    reserved_only: bool = False

    def problem(self, first: int, last: int) -> str | None:
        """Say why nobody may have these ports; None where somebody may."""
        if first < FIRST_UNPRIVILEGED_PORT and not self.privileged:
            return (
                f"port {first} is below {FIRST_UNPRIVILEGED_PORT}; the hub's operator can allow"
                " that with TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS=true"
            )
        taken = sorted(port for port in self.own if first <= port <= last)
        if taken:
            return f"port {taken[0]} is the hub's or an edge's own (TOWONEL_HUB_RESERVED_PORTS)"
        return None


def check_reservation(
    wanted: Range, rules: PortRules, reserved: Iterable[Range], published: Iterable[Range]
) -> None:
    """Check that ports can be kept for a tenant.

    Args:
        wanted: the ports, and for whom.
        rules: what holds for everybody.
        reserved: all other reservations that could overlap.
        published: ports in use that could overlap, each as a range of one.

    Raises:
        Denied: INVALID_REQUEST for ports nobody may have, PORT_CONFLICT naming who is in the way.
    """
    problem = rules.problem(wanted.first, wanted.last)
    if problem:
        raise Denied(Code.INVALID_REQUEST, problem)
    kept = [str(held) for held in sorted(reserved) if held.overlaps(wanted)]
    if kept:
        raise Denied(Code.PORT_CONFLICT, f"reserved already: {', '.join(kept[:20])}")
    foreign = [
        str(held)
        for held in sorted(published)
        if held.overlaps(wanted) and held.tenant_id != wanted.tenant_id
    ]
    if foreign:
        raise Denied(Code.PORT_CONFLICT, f"published by another tenant: {', '.join(foreign[:20])}")


def free_ports(protocol: str, rules: PortRules, held: Iterable[Range], count: int) -> Iterator[int]:
    """Yield the lowest ports that nobody has, at most `count`."""
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
