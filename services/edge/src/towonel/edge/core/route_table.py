"""Route table: the tenant and service that a public name belongs to.

The hub sends deltas; the table is their sum. A blocked tenant has no routes here, even while the
table has rows of it, so a revocation holds even when it arrives before the rows are gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from towonel.edge.core.route_index import RouteIndex
from towonel.edge.core.route_layers import RouteLayers
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.policy.tenant_limits import NO_LIMITS, TenantLimits
from towonel.wire.routes import Route, RouteDelta


@dataclass(frozen=True, slots=True)
class TableChange:
    """Effect of a delta on the table.

    `changed` are the keys of routes that were added, altered or removed; `blocked` are tenants that
    were not blocked before and are now: their sessions have to end. `limited` are tenants whose limits
    are others now.
    """

    changed: frozenset[str] = frozenset()
    blocked: frozenset[TenantId] = frozenset()
    unblocked: frozenset[TenantId] = frozenset()
    limited: frozenset[TenantId] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.blocked or self.unblocked or self.limited)


type PublicName = str  # that clients ask for: a hostname, or the key of a port's route, `tcp:2222`
_HTTPS = f"{ServiceKind.HTTPS}:"
FEW_ROUTES: Final = 1000  # which are changed, encoded or decoded in a millisecond or two


def name_port(port: int, kind: ServiceKind = ServiceKind.TCP) -> PublicName:
    """Return the public name of a port."""
    return f"{kind}:{port}"


def find_port(key: str, kind: ServiceKind) -> int | None:
    """Return the port of a route's key; None of a route of another kind."""
    found, _, port = key.partition(":")
    return int(port) if found == kind else None


def find_hostname(name: PublicName) -> Hostname | None:
    """Return a public name that is a hostname; None of a port."""
    return None if _is_port(name) else Hostname(name)


def route_keys(name: PublicName) -> tuple[str] | tuple[str, str]:
    """Return the keys of the routes that decide about a public name, the exact one first."""
    if _is_port(name):
        return (name,)
    wildcard = wildcard_of(Hostname(name))
    return (_HTTPS + name,) if wildcard is None else (_HTTPS + name, _HTTPS + wildcard)


class RouteTable:
    """Table of the routes as of one revision.

    Attributes:
        layers: the routes.
        blocked: tenants whose routes are not served.
        limits: of the tenants that have some.
        revision: None before the first delta.
        changes: deltas that were applied: while it is the same, so is every look-up.
    """

    def __init__(self) -> None:
        self.layers = RouteLayers()
        self.blocked: frozenset[TenantId] = frozenset()
        self.limits: dict[TenantId, TenantLimits] = {}
        self.revision: int | None = None
        self.changes = 0

    def __len__(self) -> int:
        return len(self.layers)

    def apply(self, delta: RouteDelta) -> TableChange:
        """Apply a delta, or replace everything by a snapshot, and return what that changed."""
        difference = self.compare(delta)
        self.revision = delta.revision
        self.changes += 1
        layers = self.layers
        for key in difference.removed:
            layers.remove(key)
        for route in difference.routes:
            layers.put(route.key, route)
        blocked, unblocked = frozenset(difference.blocked), frozenset(difference.unblocked)
        self.blocked = self.blocked - unblocked | blocked
        self._set_limits(difference.limits)
        keys = (*difference.removed, *(route.key for route in difference.routes))
        return TableChange(frozenset(keys), blocked, unblocked, frozenset(difference.limits))

    def replace(self, index: RouteIndex) -> None:
        """Replace all routes by those of an index; who is blocked stays so, as do limits."""
        self.layers.replace(index)
        self.changes += 1

    def is_small(self, delta: RouteDelta) -> bool:
        """Whether applying a delta to this table, and passing it on, takes a few milliseconds at most."""
        replaced = len(self) if delta.snapshot else 0
        return max(len(delta.routes), len(delta.removed), replaced) <= FEW_ROUTES

    def compare(self, delta: RouteDelta) -> RouteDelta:
        """Return what a delta would change in this table."""
        layers, blocked = self.layers, frozenset(delta.blocked)
        added = {route.key: route for route in delta.routes}
        if delta.snapshot:
            removed = [key for each in layers.routes() if (key := each.key) not in added]
            unblocked = self.blocked - blocked
        else:
            named = dict.fromkeys(delta.removed)
            removed = [k for k in named if k not in added and layers.find(k) is not None]
            unblocked = self.blocked.intersection(delta.unblocked) - blocked
        routes: list[Route] = []
        while added:  # which is emptied one by one: to free a million texts at once takes a while
            key, route = added.popitem()
            if layers.find(key) != route:
                routes.append(route)
        return RouteDelta(
            delta.revision,
            snapshot=False,
            routes=tuple(reversed(routes)),
            removed=tuple(removed),
            blocked=tuple(blocked - self.blocked),
            unblocked=tuple(unblocked),
            limits=self._compare_limits(delta),
        )

    def lookup(self, name: PublicName) -> Route | None:
        """Return the route of a port, or of a server name: the exact one, else that of its wildcard.

        The wildcard stands for one label: `*.example.eu` serves `a.example.eu` only.
        """
        is_port = _is_port(name)
        route = self.layers.find(name if is_port else _HTTPS + name)
        if route is None and not is_port:
            wildcard = wildcard_of(Hostname(name))
            route = None if wildcard is None else self.layers.find(_HTTPS + wildcard)
        # While a tenant is blocked, no other gets its name.
        return None if route is None or route.tenant_id in self.blocked else route

    def is_blocked(self, tenant_id: TenantId) -> bool:
        return tenant_id in self.blocked

    def snapshot(self) -> RouteDelta:
        """Return a delta that builds this table from nothing."""
        return RouteDelta(
            revision=self.revision or 0,
            snapshot=True,
            routes=tuple(self.layers.routes()),
            removed=(),
            blocked=tuple(sorted(self.blocked)),
            unblocked=(),
            limits=dict(self.limits),
        )

    def copy(self) -> "RouteTable":
        """Return a table that does not change with this one, for another thread."""
        made = RouteTable()
        made.layers, made.revision = self.layers.copy(), self.revision
        made.blocked, made.limits = self.blocked, self.limits.copy()
        return made

    def _compare_limits(self, delta: RouteDelta) -> dict[TenantId, TenantLimits]:
        """Return the limits that a delta would change; those of a tenant that has none then are empty."""
        limits, changed = self.limits, dict(delta.limits)
        if delta.snapshot:
            changed = dict.fromkeys(limits, NO_LIMITS) | changed
        return {each: new for each, new in changed.items() if limits.get(each, NO_LIMITS) != new}

    def _set_limits(self, changed: Mapping[TenantId, TenantLimits]) -> None:
        for tenant_id, limits in changed.items():
            if limits:
                self.limits[tenant_id] = limits
            else:
                self.limits.pop(tenant_id, None)


def _is_port(name: PublicName) -> bool:
    return ":" in name  # which no hostname has
