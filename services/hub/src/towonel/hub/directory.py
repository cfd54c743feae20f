"""The routes as edges are told them, kept in memory: no edge costs the database a query.

Each hub process has one, and catches up with the database when the bell tells of a newer revision. While
the database is away it stays as it is, and edges are still answered.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import structlog

from towonel.hub.store import directory as source
from towonel.hub.store.directory import Changed
from towonel.hub.store.session import Store
from towonel.wire.errors import Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.routes import Route, RouteDelta, delta_chunks

FOLLOW_S = 1.0  # an edge that asks waits no longer for the database; it is told what is known
STALE_S = 2.0  # then, for so long, nobody asks it again on behalf of an edge
MAX_ENCODED = 64  # answers kept for edges that ask the same, as all do after a change
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Directory:
    """All routes at one revision, and what changed at which."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catching_up = asyncio.Lock()
        self._encoding = asyncio.Lock()
        self.revision = 0
        self.is_loaded = False
        self._stale_until_s = float("-inf")
        self.edges: Mapping[bytes, str] = {}
        self._pruned = 0
        self._routes: dict[str, Route] = {}
        self._blocks: dict[TenantId, bool] = {}
        self._changes: list[tuple[int, str | TenantId]] = []  # in the order of revisions
        self._encoded: dict[int | None, Sequence[bytes]] = {}

    async def catch_up(self, revision: int | None = None) -> None:
        """Read what changed since, at least up to a revision; without one, whatever there is.

        Raises:
            Unavailable: where the database does not answer; what was known stays.
        """
        async with self._catching_up:
            if revision is None or not self.is_loaded or revision > self.revision:
                await self._read()

    async def follow(self, revision: int) -> bool:
        """Catch up with a revision, or stay where it is while the database does not answer.

        Returns:
            Whether this is all there is, and not only all that is known.

        Raises:
            Unavailable: where there never was anything to serve.
        """
        if not self.is_loaded:
            await self.catch_up(revision)
        if revision <= self.revision:
            return True
        if self._is_stale():
            return False
        try:
            async with asyncio.timeout(FOLLOW_S), self._catching_up:
                if revision > self.revision:
                    if self._is_stale():  # whoever was before us has tried
                        return False
                    await self._read()
        except (TimeoutError, Unavailable) as error:
            log.warning("directory.stale", revision=self.revision, reason=str(error))
            self._stale_until_s = asyncio.get_running_loop().time() + STALE_S
            return False
        return True

    def _is_stale(self) -> bool:
        return asyncio.get_running_loop().time() < self._stale_until_s

    async def _read(self) -> None:
        async with self._store.read() as session:
            self._take(await source.changed(session, self.revision if self.is_loaded else None))

    def route(self, key: str) -> Route | None:
        """Return the route of a key."""
        return self._routes.get(key)

    def __len__(self) -> int:
        return len(self._routes)

    async def encoded(self, since: int | None) -> Sequence[bytes]:
        """Return what changed since a revision, or everything, as an edge reads it, in pieces."""
        key = None if since is None or not self._pruned <= since <= self.revision else since
        async with self._encoding:  # of many edges that ask the same, one pays
            if key not in self._encoded:
                if len(self._encoded) >= MAX_ENCODED:
                    self._encoded.clear()
                revision, chunks = self.revision, list[bytes]()
                for chunk in delta_chunks(self.delta(key)):
                    chunks.append(chunk)
                    await asyncio.sleep(0)
                if revision != self.revision:
                    return chunks
                self._encoded[key] = chunks
            return self._encoded[key]

    def delta(self, since: int | None) -> RouteDelta:
        """Return what changed since a revision; everything without one, or with one too old."""
        if since is None or not self._pruned <= since <= self.revision:
            blocked = tuple(tenant for tenant, lifted in self._blocks.items() if not lifted)
            return RouteDelta(
                self.revision, snapshot=True, routes=tuple(self._routes.values()), blocked=blocked
            )
        first = bisect_right(self._changes, since, key=lambda change: change[0])
        keys = dict.fromkeys(key for _, key in self._changes[first:])
        names = [key for key in keys if isinstance(key, str)]
        tenants = [key for key in keys if isinstance(key, bytes)]
        return RouteDelta(
            self.revision,
            snapshot=False,
            routes=tuple(self._routes[key] for key in names if key in self._routes),
            removed=tuple(key for key in names if key not in self._routes),
            blocked=tuple(TenantId(t) for t in tenants if self._blocks.get(TenantId(t)) is False),
            unblocked=tuple(
                TenantId(t) for t in tenants if self._blocks.get(TenantId(t)) is not False
            ),
        )

    def _take(self, changed: Changed) -> None:
        if changed.is_whole:
            self._routes.clear()
            self._changes.clear()
        for key, route, _ in changed.routes:
            if route is None:
                self._routes.pop(key, None)
            else:
                self._routes[key] = route
        blocks = {tenant: lifted for tenant, lifted, _ in changed.blocks}
        if changed.is_whole or changed.revision != self.revision or blocks != self._blocks:
            self._encoded.clear()
        self._blocks = blocks
        news: list[tuple[int, str | TenantId]] = [
            (number, key) for key, _, number in changed.routes
        ]
        news += [
            (number, tenant)
            for tenant, _, number in changed.blocks
            if changed.is_whole or number > self.revision
        ]
        self._changes += sorted(news, key=lambda change: change[0])
        self.revision, self._pruned = changed.revision, changed.pruned
        self.edges, self.is_loaded = changed.edges, True
        self._compact()

    def _compact(self) -> None:
        """Forget changes that later ones replaced, once there are more of them than keys."""
        if len(self._changes) <= 2 * (len(self._routes) + len(self._blocks)) + 1_000:
            return
        newest = {key: number for number, key in self._changes if number > self._pruned}
        self._changes = [(number, key) for key, number in newest.items()]
        self._changes.sort(key=lambda change: change[0])
