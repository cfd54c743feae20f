"""Route table: the tenant and service that a public name belongs to.

The hub sends deltas; the table is their sum. A blocked tenant has no routes here, even while the
table has rows of it, so a revocation holds even when it arrives before the rows are gone.
"""

from dataclasses import dataclass

from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind, wildcard_of
from towonel.wire.routes import Route, RouteDelta


@dataclass(frozen=True, slots=True)
class TableChange:
    """Effect of a delta on the table.

    `changed` are the keys of routes that were added, altered or removed; `blocked` are tenants that
    were not blocked before and are now: their sessions have to end.
    """

    changed: frozenset[str] = frozenset()
    blocked: frozenset[TenantId] = frozenset()
    unblocked: frozenset[TenantId] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.blocked or self.unblocked)


_HTTPS = f"{ServiceKind.HTTPS}:"


def route_keys(name: Hostname) -> tuple[str] | tuple[str, str]:
    """Return the keys of the routes that decide about a server name, the exact one first."""
    wildcard = wildcard_of(name)
    return (_HTTPS + name,) if wildcard is None else (_HTTPS + name, _HTTPS + wildcard)


class RouteTable:
    """Table of the routes as of one revision.

    Attributes:
        revision: None before the first delta.
        changes: deltas that were applied: while it is the same, so is every look-up.
    """

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._blocked: set[TenantId] = set()
        self.revision: int | None = None
        self.changes = 0

    def __len__(self) -> int:
        return len(self._routes)

    def apply(self, delta: RouteDelta) -> TableChange:
        """Apply a delta, or replace everything by a snapshot, and return what that changed."""
        self.revision = delta.revision
        self.changes += 1
        removed, unblocked = set(delta.removed), set(delta.unblocked)
        if delta.snapshot:
            removed, unblocked = set(self._routes), set(self._blocked)
        added = {route.key: route for route in delta.routes}
        changed = {key for key, route in added.items() if self._routes.get(key) != route}
        changed |= self._routes.keys() & (removed - added.keys())
        blocked = set(delta.blocked)
        change = TableChange(
            changed=frozenset(changed),
            blocked=frozenset(blocked - self._blocked),
            unblocked=frozenset(self._blocked & (unblocked - blocked)),
        )
        for key in removed:
            self._routes.pop(key, None)
        self._routes |= added
        self._blocked = (self._blocked - unblocked) | blocked
        return change

    def lookup(self, name: Hostname) -> Route | None:
        """Return the route of a server name: the exact one, else that of its wildcard.

        The wildcard stands for one label: `*.example.eu` serves `a.example.eu` only.
        """
        route = self._routes.get(_HTTPS + name)
        if route is None:
            wildcard = wildcard_of(name)
            route = None if wildcard is None else self._routes.get(_HTTPS + wildcard)
        # While a tenant is blocked, no other gets its name.
        return None if route is None or route.tenant_id in self._blocked else route

    def is_blocked(self, tenant_id: TenantId) -> bool:
        return tenant_id in self._blocked

    def snapshot(self) -> RouteDelta:
        """Return a delta that builds this table from nothing."""
        return RouteDelta(
            revision=self.revision or 0,
            snapshot=True,
            routes=tuple(self._routes.values()),
            removed=(),
            blocked=tuple(sorted(self._blocked)),
            unblocked=(),
        )
