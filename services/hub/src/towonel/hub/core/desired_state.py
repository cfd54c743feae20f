"""Reconciliation of a desired state: the plan of changes, or one refusal naming every conflict."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from towonel.api.services import AUTO, ServiceIn
from towonel.hub.core import quotas
from towonel.hub.core.current_state import (
    CurrentState,
    find_mode_problem,
    find_port_problems,
    find_repeated_ports,
)
from towonel.hub.core.ownership import Claim, check_claim
from towonel.hub.core.port_choice import needs_port
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, parse_service_key
from towonel.wire.policy.client_networks import make_networks
from towonel.wire.policy.port_ranges import find_range_problem, parse_range
from towonel.wire.routes import Route, TlsMode


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan: the routes to create, change and delete, and the number of unchanged ones."""

    created: tuple[Route, ...]
    changed: tuple[Route, ...]
    deleted: tuple[Route, ...]
    unchanged: int

    @property
    def size(self) -> int:
        """The number of changes; of a range each port is one, which edges open or close."""
        routes = (*self.created, *self.changed, *self.deleted)
        return sum(max(1, len(route.ports)) for route in routes)

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not self.size


def parse(services: Iterable[ServiceIn], tenant_id: TenantId, rules: PortRules) -> list[Route]:
    """Return the routes of services; the port of one that is `auto` is None, for `choose_ports`.

    Args:
        services: as they were sent.
        tenant_id: their tenant.
        rules: the rules of ports for all tenants.

    Raises:
        Denied: INVALID_REQUEST, naming every invalid service and the rule that it breaks.
    """
    routes: list[Route] = []
    problems: list[str] = []
    for service in services:
        try:
            routes.append(_route(service, tenant_id, rules))
        except ProtocolError as error:
            problems.append(f"{service.kind}:{service.name[:100]}: {error.detail}")
    problems += _duplicates(routes)
    if problems:
        raise Denied(Code.INVALID_REQUEST, "; ".join(problems))
    return routes


def check_names(routes: Iterable[Route], reserved: Collection[str]) -> None:
    """Check that no route has a name that edges answer before any tenant's.

    Raises:
        Denied: HOSTNAME_CONFLICT, naming every one.
    """
    names = sorted(
        route.name for route in routes if route.kind is ServiceKind.HTTPS and route.name in reserved
    )
    if names:
        detail = f"the hub's own, which edges answer themselves: {', '.join(names)}; publish others"
        raise Denied(Code.HOSTNAME_CONFLICT, detail)


def plan(
    tenant_id: TenantId,
    routes: Sequence[Route],
    current: CurrentState,
    *,
    reserved_only: bool = False,
) -> Plan:
    """Return the changes from the current state to a group's desired routes.

    Args:
        tenant_id: the tenant of the group.
        routes: the desired routes.
        current: the current state.
        reserved_only: whether ports must be reserved for the tenant.

    Raises:
        Denied: HOSTNAME_NOT_OWNED, HOSTNAME_CONFLICT or PORT_CONFLICT, naming every one.
    """
    _check_conflicts(tenant_id, routes, current, reserved_only=reserved_only)
    return compare(routes, current.own, current.siblings)


def compare(
    routes: Sequence[Route], own: Mapping[str, Route], siblings: Collection[str] = ()
) -> Plan:
    """Return the changes from what a group publishes to its desired routes, unchecked."""
    keys = {route.key for route in routes}
    return Plan(
        created=tuple(r for r in routes if r.key not in own),
        changed=tuple(r for r in routes if r.key in own and own[r.key] != r),
        deleted=tuple(r for key, r in own.items() if key not in keys and key not in siblings),
        unchanged=sum(own.get(route.key) == route for route in routes),
    )


def hash_routes(routes: Iterable[Route]) -> bytes:
    """Return the digest of a desired state, whatever its order.

    It is stored, and agents have it: with another one all of them would look displaced.
    """
    return sha256("".join(sorted(map(_describe, routes))).encode()).digest()


def _describe(route: Route) -> str:
    clients = "" if route.clients is None else f" {route.clients.encode()}"
    http2 = " http2" if route.http2 else ""
    return f"{route.key} {route.name} {route.tls_mode}{clients}{http2}\n"


def check_quotas(routes: Sequence[Route], current: CurrentState, most: Quotas) -> None:
    """Check the number of services, ports and groups of a tenant.

    A tenant above a limit that was lowered may keep what it has, or give up some of it.

    Raises:
        Denied: QUOTA_EXCEEDED.
    """
    before = {*current.own, *current.siblings}
    after = {*(route.key for route in routes), *current.siblings}
    if len(after) > len(before):
        quotas.check_quota("services", len(after), most.services)
    if _count_ports(after) > _count_ports(before):
        quotas.check_quota("ports", _count_ports(after), most.ports)
    if len(routes) > len(current.own):
        services = len(routes) + sum(current.groups.values())
        quotas.check_groups(1 + len(current.groups), services, most)


def _count_ports(keys: Iterable[str]) -> int:
    ports = (key.partition(":")[2] for key in keys if not key.startswith("https:"))
    ranges = (parse_range(text) or (0, 0) for text in ports)
    return sum(last - first + 1 for first, last in ranges)


def _check_conflicts(
    tenant_id: TenantId, routes: Sequence[Route], current: CurrentState, *, reserved_only: bool
) -> None:
    claims = {
        route.name: check_claim(tenant_id, Hostname(route.name), current.owners)
        for route in routes
        if route.kind is ServiceKind.HTTPS
    }
    reasons: list[tuple[Code, str, Collection[str]]] = [
        (
            Code.HOSTNAME_NOT_OWNED,
            "not covered by this invite",
            [name for name, claim in claims.items() if claim is Claim.FOREIGN],
        ),
        (
            Code.HOSTNAME_CONFLICT,
            "owned by another tenant's more specific invite",
            [name for name, claim in claims.items() if claim is Claim.OUTRANKED],
        ),
        (Code.HOSTNAME_CONFLICT, *find_mode_problem(routes, current)),
    ]
    ports = [route for route in routes if route.port is not None]
    problems = find_port_problems(tenant_id, ports, current, reserved_only=reserved_only)
    reasons += [(Code.PORT_CONFLICT, why, names) for why, names in problems]
    found = [(code, f"{why}: {', '.join(sorted(names))}") for code, why, names in reasons if names]
    if found:
        raise Denied(found[0][0], "; ".join(text for _, text in found))


def _route(service: ServiceIn, tenant_id: TenantId, rules: PortRules) -> Route:
    key = parse_service_key(ServiceKind(service.kind), service.name)
    if service.http2 and (key.kind is not ServiceKind.HTTPS or service.tls_mode != "terminate"):
        raise ProtocolError(
            Code.BAD_NAME, "http2 is for https services whose tls_mode is terminate"
        )
    clients = make_networks(service.allow_cidrs, service.deny_cidrs)
    if key.kind is ServiceKind.HTTPS:
        if service.port is not None or service.last_port is not None:
            raise ProtocolError(Code.BAD_NAME, "an https service has no port")
        mode = TlsMode(service.tls_mode)
        return Route(key.kind, key.name, tenant_id, None, mode, clients, http2=service.http2)
    if service.port is None:
        raise ProtocolError(Code.BAD_NAME, f"a {key.kind} service needs a port")
    if service.port == AUTO:
        if service.last_port is not None:
            raise ProtocolError(Code.BAD_NAME, "last_port needs the first port of its range")
        return Route(key.kind, key.name, tenant_id, clients=clients)
    last_port = service.last_port
    problem = None if last_port is None else find_range_problem(service.port, last_port)
    problem = problem or rules.problem(service.port, last_port or service.port)
    if problem:
        raise ProtocolError(Code.BAD_NAME, problem)
    return Route(key.kind, key.name, tenant_id, service.port, clients=clients, last_port=last_port)


def _duplicates(routes: Iterable[Route]) -> list[str]:
    routes = list(routes)
    keys = Counter(route.key for route in routes if not needs_port(route))
    names = Counter(str(route.service) for route in routes)
    twice = sorted(f"{name}: occurs twice" for name, count in (keys | names).items() if count > 1)
    return [*twice, *find_repeated_ports(routes)]
