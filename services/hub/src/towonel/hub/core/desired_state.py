"""Reconciliation of a desired state: the plan of changes, or one refusal naming every conflict."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from towonel.api.services import AUTO, ServiceIn
from towonel.hub.core import quotas
from towonel.hub.core.ownership import Claim, check_claim
from towonel.hub.core.port_choice import needs_port
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, parse_service_key
from towonel.wire.policy.client_networks import make_networks
from towonel.wire.routes import Route, TlsMode

_OTHER_PORT_FIX: Final = "give the service another port"
_NAMESAKE_FIX: Final = "give the service another name, or the same port"


@dataclass(frozen=True, slots=True)
class CurrentState:
    """Current state that a plan is compared with.

    Args:
        own: the routes this group publishes now.
        siblings: keys of routes that other groups of the tenant publish.
        groups: the number of services of each other group of the tenant.
        tenants: the tenant of each desired key that is published; it decides about ports.
        owners: the tenant of each pattern that could own a desired hostname.
        reserved: the tenant that each desired port is reserved for, by key.
        elsewhere: the routes on ports that other groups of the tenant publish, each with its group.
        edges: an address of an edge for each port that edges are reached at.
    """

    own: Mapping[str, Route]
    siblings: Collection[str]
    tenants: Mapping[str, TenantId]
    owners: Mapping[Hostname, TenantId]
    reserved: Mapping[str, TenantId] = field(default_factory=dict[str, TenantId])
    groups: Mapping[str, int] = field(default_factory=dict[str, int])
    elsewhere: Collection[tuple[str, Route]] = ()
    edges: Mapping[int, str] = field(default_factory=dict[int, str])


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan: the routes to create, change and delete, and the number of unchanged ones."""

    created: tuple[Route, ...]
    changed: tuple[Route, ...]
    deleted: tuple[Route, ...]
    unchanged: int

    @property
    def size(self) -> int:
        """The number of changes."""
        return len(self.created) + len(self.changed) + len(self.deleted)

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
    return f"{route.key} {route.name} {route.tls_mode}{clients}\n"


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
    return sum(not key.startswith("https:") for key in keys)


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
    ]
    ports = [route for route in routes if route.port is not None]
    problems = _find_port_problems(tenant_id, ports, current, reserved_only=reserved_only)
    reasons += [(Code.PORT_CONFLICT, why, names) for why, names in problems]
    found = [(code, f"{why}: {', '.join(sorted(names))}") for code, why, names in reasons if names]
    if found:
        raise Denied(found[0][0], "; ".join(text for _, text in found))


def _find_port_problems(
    tenant_id: TenantId, routes: Iterable[Route], current: CurrentState, *, reserved_only: bool
) -> Iterator[tuple[str, Collection[str]]]:
    """Yield each reason why ports cannot be had, and the services that it keeps from them."""
    ports = {route.key: route for route in routes}
    # A hostname moves to its owner even while another tenant publishes it; a port does not.
    taken = {key for key in ports if current.tenants.get(key, tenant_id) != tenant_id}
    yield "taken by another tenant", taken
    foreign = {key for key in ports if current.reserved.get(key, tenant_id) != tenant_id}
    yield "reserved for another tenant", foreign - taken
    # A tenant keeps a port that it publishes, even if its reservation was released meanwhile.
    known = current.reserved.keys() | current.tenants.keys()
    unreserved = {key for key in ports if reserved_only and key not in known}
    yield "not reserved for this tenant, as this hub requires", unreserved
    # As one that was there before the edge was.
    of_edges = {
        f"{key} ({address})"
        for key, route in ports.items()
        if (address := current.edges.get(route.port or 0)) and key not in current.tenants
    }
    yield f"an edge is reached there; {_OTHER_PORT_FIX}", of_edges
    # An edge chooses agents by the name of a service: two of one name would share their clients.
    names = {route.service: route.port for route in ports.values()}
    namesakes = {
        f"{route.service} (group {group}, port {route.port})"
        for group, route in current.elsewhere
        if names.get(route.service, route.port) != route.port
    }
    yield f"published by another group on another port; {_NAMESAKE_FIX}", namesakes


def _route(service: ServiceIn, tenant_id: TenantId, rules: PortRules) -> Route:
    key = parse_service_key(ServiceKind(service.kind), service.name)
    clients = make_networks(service.allow_cidrs, service.deny_cidrs)
    if key.kind is ServiceKind.HTTPS:
        if service.port is not None:
            raise ProtocolError(Code.BAD_NAME, "an https service has no port")
        mode = TlsMode(service.tls_mode)
        return Route(key.kind, key.name, tenant_id, None, mode, clients)
    if service.port is None:
        raise ProtocolError(Code.BAD_NAME, f"a {key.kind} service needs a port")
    if service.port == AUTO:
        return Route(key.kind, key.name, tenant_id, clients=clients)
    problem = rules.problem(service.port, service.port)
    if problem:
        raise ProtocolError(Code.BAD_NAME, problem)
    return Route(key.kind, key.name, tenant_id, service.port, clients=clients)


def _duplicates(routes: Iterable[Route]) -> list[str]:
    routes = list(routes)
    keys = Counter(route.key for route in routes if not needs_port(route))
    names = Counter(str(route.service) for route in routes)
    return sorted(f"{name}: occurs twice" for name, count in (keys | names).items() if count > 1)
