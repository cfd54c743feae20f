"""All routes at one revision, and what changed since earlier ones: what edges are told is read off here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from towonel.wire.ids import TenantId
from towonel.wire.routes import Route, RouteDelta

type RouteChange = tuple[
    str, Route | None, int
]  # a route's key, the route unless it ended, and when


@dataclass(frozen=True, slots=True)
class Block:
    """Whether a tenant's grants, void since some revision, hold again."""

    lifted: bool
    revision: int


@dataclass(slots=True)
class RouteHistory:
    """Routes and blocked tenants as they are now, and when each changed last.

    Args:
        revision: of the last change.
        pruned: up to which revision traces of what ended are gone: nothing is told of before.
        routes: that there are, by key.
        blocks: of all tenants that have, or had not long ago, one.
    """

    revision: int = 0
    pruned: int = 0
    routes: dict[str, Route] = field(default_factory=dict[str, Route])
    blocks: Mapping[TenantId, Block] = field(default_factory=dict[TenantId, Block])
    _changed: dict[str, int] = field(default_factory=dict[str, int])  # in the order of revisions

    def copy(self) -> "RouteHistory":
        """Return one that goes on from here, while this one stays."""
        return RouteHistory(
            self.revision, self.pruned, self.routes.copy(), self.blocks, self._changed.copy()
        )

    def apply(self, steps: Iterable[RouteChange]) -> None:
        """Take changes in, in the order of their revisions."""
        for key, route, revision in steps:
            self._changed.pop(key, None)  # so that it is put at the end
            self._changed[key] = revision
            if route is None:
                self.routes.pop(key, None)
            else:
                self.routes[key] = route

    def finish(self, revision: int, pruned: int, blocks: Mapping[TenantId, Block]) -> None:
        """Say what the changes that were taken lead to."""
        self.revision, self.blocks = revision, blocks
        if pruned != self.pruned:
            self.pruned = pruned
            self._changed = {key: at for key, at in self._changed.items() if at > pruned}

    def covers(self, since: int | None) -> bool:
        """Whether all that changed since a revision is known."""
        return since is not None and self.pruned <= since <= self.revision

    def delta(self, since: int | None) -> RouteDelta:
        """Return what changed since a revision; everything without one, or where it is not known."""
        if since is None or not self.covers(since):
            blocked = tuple(tenant for tenant, block in self.blocks.items() if not block.lifted)
            routes = tuple(self.routes.values())
            return RouteDelta(self.revision, snapshot=True, routes=routes, blocked=blocked)
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
        )
