"""What a desired state changes: decided whole, or refused with every name that is in the way."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from towonel.hub.core import quotas
from towonel.hub.core.ownership import Claim, claim_of
from towonel.hub.core.ports import PortRules
from towonel.hub.core.quotas import Quotas
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, parse_service_key
from towonel.wire.routes import Route, TlsMode


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service of a desired state, as it was sent."""

    kind: ServiceKind
    name: str
    port: int | None
    tls_mode: TlsMode


@dataclass(frozen=True, slots=True)
class Current:
    """What there is already.

    Args:
        own: the routes this group publishes now.
        siblings: keys of routes that other groups of the tenant publish.
        tenants: the tenant of each wanted key that somebody publishes; it decides about ports.
        owners: the tenant of each pattern that could own a wanted hostname.
        reserved: for whom each wanted port is kept, by key.
    """

    own: Mapping[str, Route]
    siblings: Collection[str]
    tenants: Mapping[str, TenantId]
    owners: Mapping[Hostname, TenantId]
    reserved: Mapping[str, TenantId] = field(default_factory=dict[str, TenantId])


@dataclass(frozen=True, slots=True)
class Plan:
    """The routes to create, change and delete, and how many stay as they are."""

    created: tuple[Route, ...]
    changed: tuple[Route, ...]
    deleted: tuple[Route, ...]
    unchanged: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.created or self.changed or self.deleted)


def parse(wanted: Iterable[Wanted], tenant_id: TenantId, rules: PortRules) -> list[Route]:
    """Return the routes that services ask for.

    Args:
        wanted: the services as they were sent.
        tenant_id: whose they are.
        rules: which ports may be had at all.

    Raises:
        Denied: INVALID_REQUEST, naming every service that breaks a rule and the rule.
    """
    routes: list[Route] = []
    problems: list[str] = []
    for service in wanted:
        try:
            routes.append(_route(service, tenant_id, rules))
        except ProtocolError as error:
            problems.append(f"{service.kind}:{service.name[:100]}: {error.detail}")
    problems += _doubles(routes)
    if problems:
        raise Denied(Code.INVALID_REQUEST, "; ".join(problems))
    return routes


def plan(
    tenant_id: TenantId, wanted: Sequence[Route], current: Current, *, reserved_only: bool = False
) -> Plan:
    """Decide what a group's new document changes.

    Args:
        tenant_id: whose group it is.
        wanted: the routes of the document.
        current: what there is already.
        reserved_only: whether ports must be reserved for the tenant.

    Raises:
        Denied: HOSTNAME_NOT_OWNED, HOSTNAME_CONFLICT or PORT_CONFLICT, naming every one.
    """
    _refuse_foreign(tenant_id, wanted, current, reserved_only=reserved_only)
    keys = {route.key for route in wanted}
    return Plan(
        created=tuple(r for r in wanted if r.key not in current.own),
        changed=tuple(r for r in wanted if r.key in current.own and current.own[r.key] != r),
        deleted=tuple(
            route
            for key, route in current.own.items()
            if key not in keys and key not in current.siblings
        ),
        unchanged=sum(current.own.get(route.key) == route for route in wanted),
    )


def check_quotas(wanted: Sequence[Route], current: Current, most: Quotas) -> None:
    """Check that a tenant may publish as much as all its groups then do.

    Who has more than a limit that was lowered may keep it, or give up some of it.

    Raises:
        Denied: QUOTA_EXCEEDED.
    """
    before = {*current.own, *current.siblings}
    after = {*(route.key for route in wanted), *current.siblings}
    if len(after) > len(before):
        quotas.check("services", len(after), most.services)
    if _ports(after) > _ports(before):
        quotas.check("ports", _ports(after), most.ports)


def _ports(keys: Iterable[str]) -> int:
    return sum(not key.startswith("https:") for key in keys)


def _refuse_foreign(
    tenant_id: TenantId, wanted: Sequence[Route], current: Current, *, reserved_only: bool
) -> None:
    claims = {
        route.name: claim_of(tenant_id, Hostname(route.name), current.owners)
        for route in wanted
        if route.kind is ServiceKind.HTTPS
    }
    ports = [route.key for route in wanted if route.port is not None]
    # A hostname goes to its owner, whoever publishes it now; a port stays with who has it.
    taken = {key for key in ports if current.tenants.get(key, tenant_id) != tenant_id}
    kept = {key for key in ports if current.reserved.get(key, tenant_id) != tenant_id} - taken
    # Who publishes a port already keeps it, though its reservation was released meanwhile.
    had = current.reserved.keys() | current.tenants.keys()
    unkept = {key for key in ports if reserved_only and key not in had}
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
        (Code.PORT_CONFLICT, "taken by another tenant", taken),
        (Code.PORT_CONFLICT, "reserved for another tenant", kept),
        (Code.PORT_CONFLICT, "not reserved for this tenant, as this hub wants it", unkept),
    ]
    found = [(code, f"{why}: {', '.join(sorted(names))}") for code, why, names in reasons if names]
    if found:
        raise Denied(found[0][0], "; ".join(text for _, text in found))


def _route(service: Wanted, tenant_id: TenantId, rules: PortRules) -> Route:
    key = parse_service_key(service.kind, service.name)
    if key.kind is ServiceKind.HTTPS:
        if service.port is not None:
            raise ProtocolError(Code.BAD_NAME, "an https service has no port")
        return Route(key.kind, key.name, tenant_id, None, service.tls_mode)
    if service.port is None:
        raise ProtocolError(Code.BAD_NAME, f"a {key.kind} service needs a port")
    problem = rules.problem(service.port, service.port)
    if problem:
        raise ProtocolError(Code.BAD_NAME, problem)
    return Route(key.kind, key.name, tenant_id, service.port)


def _doubles(routes: Iterable[Route]) -> list[str]:
    routes = list(routes)
    keys = Counter(route.key for route in routes)
    names = Counter(str(route.service) for route in routes)
    return sorted(f"{name}: occurs twice" for name, count in (keys | names).items() if count > 1)
