"""Choice of the ports that a desired state leaves to the hub, from those reserved for its tenant."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from towonel.hub.core.ports import PortRules, Range
from towonel.wire.errors import Code, Denied
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.routes import Route


@dataclass(frozen=True, slots=True)
class PortOffer:
    """Ports that the hub can choose for a group.

    Args:
        own: the routes that the group publishes now.
        reserved: the ranges of its tenant.
        taken: ports that other groups and tenants publish, as in `tcp:2222`.
        elsewhere: the routes on ports that other groups of the tenant publish.
    """

    own: Collection[Route]
    reserved: Sequence[Range]
    taken: Collection[str]
    elsewhere: Collection[Route] = ()


def needs_port(route: Route) -> bool:
    """Whether the port of a route is yet to be chosen."""
    return route.port is None and route.kind is not ServiceKind.HTTPS


def name_ports(route: Route) -> set[str]:
    """Return the ports of a route, as in `tcp:2222`."""
    return {f"{route.kind}:{port}" for port in route.ports}


def choose_ports(routes: Sequence[Route], offer: PortOffer, rules: PortRules) -> list[Route]:
    """Return the routes, with a port for each that needs one.

    A service that another group of the tenant publishes has the port that it has there: on another one it would be
    refused. Else it keeps the port that it has, if that is reserved still. Neither is one that the request names for
    another service. Each other gets the lowest reserved port that nobody else publishes.

    Args:
        routes: the desired ones.
        offer: the ports to choose from.
        rules: the rules of ports for all tenants.

    Raises:
        Denied: PORT_CONFLICT, naming every service for which there is no port.
    """
    named = {port for route in routes for port in name_ports(route)}
    chosen = _retained_ports(routes, named, offer, rules)
    used = {*named, *offer.taken, *(f"{key.kind}:{port}" for key, port in chosen.items())}
    free = {
        kind: _free_ports(kind, offer.reserved, used, rules)
        for kind in (ServiceKind.TCP, ServiceKind.UDP)
    }
    missing: list[Route] = []
    for route in routes:
        if not needs_port(route) or route.service in chosen:
            continue
        port = next(free[route.kind], None)
        if port is None:
            missing.append(route)
        else:
            chosen[route.service] = port
    if missing:
        raise Denied(Code.PORT_CONFLICT, _describe(missing, offer.reserved))
    return [replace(it, port=chosen[it.service]) if needs_port(it) else it for it in routes]


def _retained_ports(
    routes: Iterable[Route], named: Collection[str], offer: PortOffer, rules: PortRules
) -> dict[ServiceKey, int]:
    """Return the ports that services have already, and may keep: in this group, or in another."""
    wanted = {route.service for route in routes if needs_port(route)}
    own = [route for route in offer.own if _is_reserved(route, offer.reserved)]
    return {
        route.service: route.port
        for route in (*own, *offer.elsewhere)  # of two ports, the one elsewhere
        if route.port is not None
        and route.service in wanted
        and f"{route.kind}:{route.port}" not in named
        and rules.allows(route.port)
    }


def _is_reserved(route: Route, reserved: Iterable[Range]) -> bool:
    port = route.port
    return any(
        held.protocol == route.kind and port is not None and port in held for held in reserved
    )


def _free_ports(
    kind: ServiceKind, reserved: Iterable[Range], used: Collection[str], rules: PortRules
) -> Iterator[int]:
    ranges = sorted(held for held in reserved if held.protocol == kind)
    ports = (port for held in ranges for port in range(held.first, held.last + 1))
    return (port for port in ports if rules.allows(port) and f"{kind}:{port}" not in used)


def _describe(missing: Sequence[Route], reserved: Iterable[Range]) -> str:
    """Return why there is no port, and what to do."""
    tenant_id, kinds = missing[0].tenant_id.hex(), sorted({route.kind for route in missing})
    reserve = " and ".join(
        f"`towonel port reserve --tenant-id {tenant_id} --protocol {kind}`" for kind in kinds
    )
    held = {kind: [str(it) for it in sorted(reserved) if it.protocol == kind] for kind in kinds}
    problems = [f"{route.service}: {_why(route.kind, held[route.kind])}" for route in missing]
    return "; ".join([*problems, f"reserve a port with {reserve}, or name one"])


def _why(kind: ServiceKind, held: Sequence[str]) -> str:
    if not held:
        return f"its port is `auto`, and no {kind} port is reserved for this tenant"
    return f"its port is `auto`, and none that is reserved is free: {', '.join(held[:20])}"
