"""Layers of routes by key: an index that processes share, below the changes since, which each has of its own.

    recent changes  ─▶  frozen changes  ─▶  index        a look-up takes the first that knows the key

Changes are frozen while an index is written that has them, too; then it takes the place of both.
"""

from collections.abc import Iterator

from towonel.edge.core.route_index import RouteIndex
from towonel.wire.routes import Route

type Layer = dict[str, Route | None]  # by key; None where the route went


class RouteLayers:
    """Layers of routes.

    Attributes:
        index: the lowest one; None where all routes are in the others, as those of a small table are.
        frozen: changes that an index is being written with; not changed any more.
        recent: changes since.
    """

    def __init__(self) -> None:
        self.index: RouteIndex | None = None
        self.frozen: Layer = {}
        self.recent: Layer = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, key: str) -> Route | None:
        """Return the route of a key."""
        if key in self.recent:
            return self.recent[key]
        return self._find_below(key)

    def put(self, key: str, route: Route) -> None:
        """Add a route, or replace the one of its key."""
        self._count += self.find(key) is None
        self.recent[key] = route

    def remove(self, key: str) -> None:
        """Remove the route of a key, if there is one."""
        self._count -= self.find(key) is not None
        if self._find_below(key) is None:
            self.recent.pop(key, None)
        else:
            self.recent[key] = None

    def routes(self) -> Iterator[Route]:
        """Yield all routes."""
        changes = self.changes()
        if self.index is not None:
            for route in self.index.routes():
                if route.key not in changes:
                    yield route
        for changed in changes.values():
            if changed is not None:
                yield changed

    def changes(self) -> Layer:
        """Return what is to be changed in the index so that it has all routes."""
        return {**self.frozen, **self.recent} if self.frozen else self.recent

    def copy(self) -> "RouteLayers":
        """Return layers that do not change with these, for another thread."""
        made = RouteLayers()
        made.index, made.frozen, made.recent = self.index, self.frozen, dict(self.recent)
        made._count = self._count
        return made

    # How an index comes.

    def freeze(self) -> Layer:
        """Begin a new layer of changes, and return those before, which an index is written with.

        Where that failed once, they are all that came since the index there is.
        """
        self.frozen, self.recent = self.changes(), {}
        return self.frozen

    def settle(self, index: RouteIndex) -> None:
        """Use an index that has the frozen changes, too."""
        self.index, self.frozen = index, {}

    def replace(self, index: RouteIndex | None) -> None:
        """Forget all routes but those of an index."""
        self.index, self.frozen, self.recent = index, {}, {}
        self._count = 0 if index is None else len(index)

    def _find_below(self, key: str) -> Route | None:
        if key in self.frozen:
            return self.frozen[key]
        return None if self.index is None else self.index.find(key)
