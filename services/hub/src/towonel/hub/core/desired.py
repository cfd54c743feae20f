"""What a desired state changes: decided whole, or refused with every name that is in the way."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from towonel.hub.core.ownership import Claim, claim_of
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, parse_service_key
from towonel.wire.routes import Route, TlsMode

FIRST_UNPRIVILEGED_PORT = 1024
_WHY = {
    Code.HOSTNAME_NOT_OWNED: "not covered by this invite",
    Code.HOSTNAME_CONFLICT: "owned by another tenant's more specific invite",
    Code.PORT_CONFLICT: "taken by another tenant",
}


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
        tenants: the tenant of each wanted key that has a route; it decides about ports.
        owners: the tenant of each pattern that could own a wanted hostname.
    """

    own: Mapping[str, Route]
    siblings: Collection[str]
    tenants: Mapping[str, TenantId]
    owners: Mapping[Hostname, TenantId]


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


def parse(wanted: Iterable[Wanted], tenant_id: TenantId, *, privileged: bool) -> list[Route]:
    """Return the routes that services ask for.

    Args:
        wanted: the services as they were sent.
        tenant_id: whose they are.
        privileged: whether ports below 1024 may be had.

    Raises:
        Denied: INVALID_REQUEST, naming every service that breaks a rule and the rule.
    """
    routes: list[Route] = []
    problems: list[str] = []
    for service in wanted:
        try:
            routes.append(_route(service, tenant_id, privileged=privileged))
        except ProtocolError as error:
            problems.append(f"{service.kind}:{service.name[:100]}: {error.detail}")
    problems += _doubles(routes)
    if problems:
        raise Denied(Code.INVALID_REQUEST, "; ".join(problems))
    return routes


def plan(tenant_id: TenantId, wanted: Sequence[Route], current: Current) -> Plan:
    """Decide what a group's new document changes.

    Raises:
        Denied: HOSTNAME_NOT_OWNED, HOSTNAME_CONFLICT or PORT_CONFLICT, naming every one.
    """
    _refuse_foreign(tenant_id, wanted, current)
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


def _refuse_foreign(tenant_id: TenantId, wanted: Sequence[Route], current: Current) -> None:
    claims = {
        route.name: claim_of(tenant_id, Hostname(route.name), current.owners)
        for route in wanted
        if route.kind is ServiceKind.HTTPS
    }
    # A hostname goes to its owner, whoever publishes it now; a port stays with who has it.
    ports = [
        route.key
        for route in wanted
        if route.port is not None and current.tenants.get(route.key, tenant_id) != tenant_id
    ]
    refused = {
        Code.HOSTNAME_NOT_OWNED: [n for n, claim in claims.items() if claim is Claim.FOREIGN],
        Code.HOSTNAME_CONFLICT: [n for n, claim in claims.items() if claim is Claim.OUTRANKED],
        Code.PORT_CONFLICT: ports,
    }
    said = [f"{_WHY[code]}: {', '.join(sorted(names))}" for code, names in refused.items() if names]
    if said:
        raise Denied(next(code for code, names in refused.items() if names), "; ".join(said))


def _route(service: Wanted, tenant_id: TenantId, *, privileged: bool) -> Route:
    key = parse_service_key(service.kind, service.name)
    if key.kind is ServiceKind.HTTPS:
        if service.port is not None:
            raise ProtocolError(Code.BAD_NAME, "an https service has no port")
        return Route(key.kind, key.name, tenant_id, None, service.tls_mode)
    if service.port is None:
        raise ProtocolError(Code.BAD_NAME, f"a {key.kind} service needs a port")
    if service.port < FIRST_UNPRIVILEGED_PORT and not privileged:
        raise ProtocolError(
            Code.BAD_NAME,
            f"port {service.port} is below {FIRST_UNPRIVILEGED_PORT}; the hub's operator can "
            "allow that with TOWONEL_HUB_ALLOW_PRIVILEGED_PORTS=true",
        )
    return Route(key.kind, key.name, tenant_id, service.port)


def _doubles(routes: Iterable[Route]) -> list[str]:
    routes = list(routes)
    keys = Counter(route.key for route in routes)
    names = Counter(str(route.service) for route in routes)
    return sorted(f"{name}: occurs twice" for name, count in (keys | names).items() if count > 1)
