"""History of routes: all routes at one revision, and the deltas since earlier revisions."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from towonel.hub.core import counts
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.policy.tenant_limits import TenantLimits
from towonel.wire.routes import Route, RouteDelta

TAGS = 10_000  # of the newest revisions are known; an edge that knows none of them gets a snapshot

# The route's key, the route (None if it was removed), and the revision.
type RouteChange = tuple[str, Route | None, int]


@dataclass(frozen=True, slots=True)
class Block:
    """Block of a tenant: its grants are void since a revision, or valid again if `lifted`."""

    lifted: bool
    revision: int


@dataclass(frozen=True, slots=True)
class LimitsChange:
    """Limits of a tenant at edges, since a revision; without any, it has none any more."""

    limits: TenantLimits
    revision: int


@dataclass(slots=True)
class RouteHistory:
    """Current routes, blocks and limits, with the revision of each one's last change.

    Args:
        revision: of the last change.
        pruned: the revision up to which tombstones were deleted; no delta can start before it.
        routes: the live routes, by key.
        blocks: of all tenants that are blocked, or were recently.
        limits: of all tenants that have some at edges, or had.
        tenants: how many live routes each has, to look one up without a walk over all routes.
        edge_list: digest of the edges that agents are told of.
        port_services: how many live routes of ports each service has: `tenant id, tcp:ssh`.
        ranges: keys of the live routes of ranges, by each of their ports: `tcp:27016`.
        tags: random ones of the newest revisions: the same revision with another is of another history.
    """

    revision: int = 0
    pruned: int = 0
    routes: dict[str, Route] = field(default_factory=dict[str, Route])
    blocks: Mapping[TenantId, Block] = field(default_factory=dict[TenantId, Block])
    limits: Mapping[TenantId, LimitsChange] = field(default_factory=dict[TenantId, LimitsChange])
    tags: dict[int, bytes] = field(default_factory=dict[int, bytes])
    tenants: Counter[bytes] = field(default_factory=Counter[bytes])
    port_services: Counter[tuple[bytes, str]] = field(default_factory=Counter[tuple[bytes, str]])
    ranges: dict[str, str] = field(default_factory=dict[str, str])
    edge_list: bytes | None = None
    _changed: dict[str, int] = field(default_factory=dict[str, int])  # in the order of revisions

    def copy(self) -> "RouteHistory":
        """Return an independent copy."""
        return RouteHistory(
            self.revision,
            self.pruned,
            self.routes.copy(),
            self.blocks,
            self.limits,
            self.tags.copy(),
            self.tenants.copy(),
            self.port_services.copy(),
            self.ranges.copy(),
            self.edge_list,
            self._changed.copy(),
        )

    @property
    def tag(self) -> bytes | None:
        """The tag of the current revision."""
        return self.tags.get(self.revision)

    def apply(self, changes: Iterable[RouteChange]) -> None:
        """Apply changes, in the order of their revisions."""
        for key, route, revision in changes:
            self._changed.pop(key, None)  # so that it moves to the end
            self._changed[key] = revision
            replaced = self.routes.pop(key, None) if route is None else self.routes.get(key)
            if replaced is not None:
                self._count(replaced, -1)
                self._forget_range(replaced)
            if route is not None:
                self._count(route, 1)
                self.routes[key] = route
                if route.last_port is not None:
                    self.ranges |= {f"{route.kind}:{port}": key for port in route.ports}

    def _forget_range(self, route: Route) -> None:
        for port in route.ports if route.last_port is not None else ():
            name = f"{route.kind}:{port}"
            if self.ranges.get(name) == route.key:  # and not another range that has it by now
                del self.ranges[name]

    def _count(self, route: Route, by: int) -> None:
        counts.add(self.tenants, route.tenant_id, by)
        if route.kind is not ServiceKind.HTTPS:
            counts.add(self.port_services, (route.tenant_id, str(route.service)), by)

    def apply_limits(self, changes: Mapping[TenantId, LimitsChange]) -> None:
        """Apply changes of limits."""
        self.limits = {**self.limits, **changes}

    def finish(self, revision: int, pruned: int, blocks: Mapping[TenantId, Block]) -> None:
        """Set the revision and blocks that the applied changes lead to."""
        self.revision, self.blocks = revision, blocks
        for old in list(self.tags)[:-TAGS]:  # they are in the order of revisions
            del self.tags[old]
        if pruned != self.pruned:
            self.pruned = pruned
            self._changed = {key: at for key, at in self._changed.items() if at > pruned}

    def is_at(self, revision: int, tag: bytes | None) -> bool:
        """Whether a revision is the current one; without a tag, by its number alone."""
        return revision == self.revision and tag in {None, self.tag}

    def covers(self, since: int | None, tag: bytes | None = None) -> bool:
        """Whether a delta since a revision can be made; without a tag, by its number alone."""
        if since is None or not self.pruned <= since <= self.revision:
            return False
        return tag is None or tag == self.tags.get(since)

    def delta(self, since: int | None) -> RouteDelta:
        """Return the changes since a revision, or a snapshot if it is None or not covered."""
        if since is None or not self.covers(since):
            blocked = tuple(tenant for tenant, block in self.blocks.items() if not block.lifted)
            routes = tuple(self.routes.values())
            limits = {it: each.limits for it, each in self.limits.items() if each.limits}
            return RouteDelta(
                *(self.revision, True, routes, (), blocked, ()),
                tag=self.tag,
                limits=limits,
                edge_list=self.edge_list,
            )
        newest_first = takewhile(lambda it: it[1] > since, reversed(self._changed.items()))
        keys = [key for key, _ in newest_first][::-1]
        found = [self.routes.get(key) for key in keys]
        blocks = [(it, block.lifted) for it, block in self.blocks.items() if block.revision > since]
        return RouteDelta(
            self.revision,
            snapshot=False,
            routes=tuple(route for route in found if route is not None),
            removed=tuple(key for key, route in zip(keys, found, strict=True) if route is None),
            blocked=tuple(tenant for tenant, lifted in blocks if not lifted),
            unblocked=tuple(tenant for tenant, lifted in blocks if lifted),
            tag=self.tag,
            limits={it: each.limits for it, each in self.limits.items() if each.revision > since},
            edge_list=self.edge_list,
        )
