"""Current state that a desired state is compared with, and which of the ports that it wants are not to be had."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from towonel.hub.core.ports import Range
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname
from towonel.wire.policy.port_ranges import format_ports
from towonel.wire.routes import Route, TlsMode

_OTHER_PORT_FIX: Final = "give the service another port"
_NAMESAKE_FIX: Final = "give the service another name, or the same port"
_OVERLAP_FIX: Final = "give one of them other ports"
_MODE_FIX: Final = (
    "give it the same tls_mode and http2, or publish it by one group while they change"
)


@dataclass(frozen=True, slots=True)
class CurrentState:
    """Current state that a plan is compared with.

    Args:
        own: the routes this group publishes now.
        siblings: keys of routes that other groups of the tenant publish.
        groups: the number of services of each other group of the tenant.
        tenants: the tenant of each desired key that is published; it decides about ports.
        owners: the tenant of each pattern that could own a desired hostname.
        reserved: reservations that have desired ports.
        elsewhere: the routes on ports that other groups of the tenant publish, each with its group.
        beside: the routes of desired hostnames that other groups of the tenant publish, each with its group, where an
            agent of that one may serve them still.
        edges: an address of an edge for each port that edges are reached at.
        overlapping: the routes of all tenants that share a port with a desired one, and are others.
    """

    own: Mapping[str, Route]
    siblings: Collection[str]
    tenants: Mapping[str, TenantId]
    owners: Mapping[Hostname, TenantId]
    reserved: Collection[Range] = ()
    groups: Mapping[str, int] = field(default_factory=dict[str, int])
    elsewhere: Collection[tuple[str, Route]] = ()
    beside: Collection[tuple[str, Route]] = ()
    edges: Mapping[int, str] = field(default_factory=dict[int, str])
    overlapping: Collection[Route] = ()


def find_mode_problem(
    routes: Iterable[Route], current: CurrentState
) -> tuple[str, Collection[str]]:
    """Return why hostnames cannot be had as other groups publish them, and those with the group and its mode.

    Clients of a name get the agents of all its groups: what one of these has without TLS, another cannot have inside it.
    """
    wanted = {route.key: route for route in routes}
    names = {
        f"{route.name} (group {group}, {route.tls_mode}{' with http2' if route.http2 else ''})"
        for group, route in current.beside
        if _describe_end(wanted[route.key]) != _describe_end(route)
    }
    why = (
        "published by another group of this tenant with another end of TLS, or other HTTP inside it"
    )
    return f"{why}; {_MODE_FIX}", names


def _describe_end(route: Route) -> tuple[bool, bool]:
    return route.tls_mode is TlsMode.TERMINATE, route.http2


def find_port_problems(
    tenant_id: TenantId, routes: Iterable[Route], current: CurrentState, *, reserved_only: bool
) -> Iterator[tuple[str, Collection[str]]]:
    """Yield each reason why ports cannot be had, and the services that it keeps from them.

    Of a range, the first port is named that it keeps it from.
    """
    ports = {route.key: route for route in routes}
    # A hostname moves to its owner even while another tenant publishes it; a port does not.
    others = [ports_of(route) for route in current.overlapping if route.tenant_id != tenant_id]
    taken = _name_shared(ports, others) | {
        key: key for key in ports if current.tenants.get(key, tenant_id) != tenant_id
    }
    yield "taken by another tenant", taken.values()
    reserved = [held for held in current.reserved if held.tenant_id != tenant_id]
    foreign = _name_shared(ports, reserved)
    yield (
        "reserved for another tenant",
        [name for key, name in foreign.items() if key not in taken],
    )
    if reserved_only:
        unreserved = _name_unreserved(ports, current)
        yield "not reserved for this tenant, as this hub requires", unreserved
    yield f"an edge is reached there; {_OTHER_PORT_FIX}", _name_edges(ports, current)
    # Those of this group alone are replaced.
    siblings = [
        ports_of(route)
        for route in current.overlapping
        if route.tenant_id == tenant_id and route.key in current.siblings
    ]
    names = _name_shared(ports, siblings).values()
    yield f"published by another group of this tenant; {_OVERLAP_FIX}", names
    yield (
        f"published by another group on another port; {_NAMESAKE_FIX}",
        _name_namesakes(ports, current),
    )


def find_repeated_ports(routes: Iterable[Route]) -> Iterator[str]:
    """Yield what is wrong with ranges of one desired state that share a port with another of its services."""
    reaching: Route | None = None  # furthest, of those before
    for route in sorted((it for it in routes if it.ports), key=lambda it: (it.kind, it.ports[0])):
        is_near = reaching is not None and reaching.kind is route.kind
        if reaching is None or not is_near:
            reaching = route
            continue
        if route.ports[0] in reaching.ports and route.key != reaching.key:
            yield f"{route.key}: has port {route.ports[0]} of {reaching.key}, too"
        if route.ports[-1] > reaching.ports[-1]:
            reaching = route


def ports_of(route: Route) -> Range:
    """Return the ports of a route that has some."""
    return Range(str(route.kind), route.ports[0], route.ports[-1], route.tenant_id)


def _name_shared(ports: Mapping[str, Route], held: Iterable[Range]) -> dict[str, str]:
    """Return the names, by key, of routes whose ports others have, with the first of those."""
    ranges = sorted(held)
    found: dict[str, str] = {}
    for key, route in ports.items():
        own = ports_of(route)
        shared = [max(own.first, each.first) for each in ranges if each.overlaps(own)]
        if shared:
            found[key] = _name(route, min(shared))
    return found


def _name_unreserved(ports: Mapping[str, Route], current: CurrentState) -> list[str]:
    """Return the names of routes with a port that is neither reserved, nor published by the group already."""
    known = sorted([*current.reserved, *(ports_of(it) for it in current.own.values() if it.ports)])
    names: list[str] = []
    for key, route in ports.items():
        if key in current.tenants:  # even if its reservation was released meanwhile
            continue
        port = route.ports[0]
        for held in known:
            if held.protocol == route.kind and port in held:
                port = held.last + 1
        if port in route.ports:
            names.append(_name(route, port))
    return names


def _name_edges(ports: Mapping[str, Route], current: CurrentState) -> list[str]:
    """Return the names of routes with a port at which an edge is reached, but of those that were there before it."""
    found = [
        (route, next((port for port in route.ports if port in current.edges), None))
        for key, route in ports.items()
        if key not in current.tenants
    ]
    return [
        f"{_name(route, port)} ({current.edges[port]})" for route, port in found if port is not None
    ]


def _name_namesakes(ports: Mapping[str, Route], current: CurrentState) -> set[str]:
    """Return the services that have other ports elsewhere: edges choose agents by the name of a service."""
    keys = {route.service: key for key, route in ports.items()}
    return {
        f"{route.service} (group {group}, port {format_ports(route.ports[0], route.ports[-1])})"
        for group, route in current.elsewhere
        if keys.get(route.service, route.key) != route.key
    }


def _name(route: Route, port: int) -> str:
    return route.key if route.last_port is None else f"{route.key} (port {port})"
