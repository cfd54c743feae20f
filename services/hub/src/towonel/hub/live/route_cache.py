"""The routes as edges are told them, kept in memory: no edge costs the database a query.

Each hub process has one, and catches up with the database when the bell tells of a newer revision. While
the database is away it stays as it is, and edges are still answered.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from towonel.hub.core.route_history import RouteHistory
from towonel.hub.store import route_history as source
from towonel.hub.store.db.transactions import Store
from towonel.wire.errors import Unavailable
from towonel.wire.routes import RouteDelta, delta_chunks

FOLLOW_S = 1.0  # an edge that asks waits no longer for the database; it is told what is known
STALE_S = 2.0  # then, for so long, nobody asks it again on behalf of an edge
MAX_ENCODED = 64  # answers kept for edges that ask the same, as all do after a change
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RouteCache:
    """All routes at one revision, and what changed at which."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catching_up = asyncio.Lock()
        self._encoding_all = asyncio.Lock()
        self._encoding_some = asyncio.Lock()
        self.is_loaded = False
        self._stale_until_s = float("-inf")
        self.edges: Mapping[bytes, str] = {}
        self._known = RouteHistory()
        self._version = 0  # of what is known: a restored database can have an older revision
        self._encoded: dict[int | None, tuple[int, Sequence[bytes]]] = {}

    @property
    def revision(self) -> int:
        """What edges are told leads to this one."""
        return self._known.revision

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
            head = await source.read_head(session)
            is_whole = not self.is_loaded or not head.pruned <= self.revision <= head.revision
            known = RouteHistory() if is_whole else self._known.copy()
            if is_whole or head.revision != self.revision:
                async for steps in source.stream_routes(
                    session, None if is_whole else self.revision
                ):
                    known.apply(steps)
        known.finish(head.revision, head.pruned, head.blocks)
        if is_whole or head.revision != self.revision or head.blocks != self._known.blocks:
            self._version += 1
            self._encoded.clear()
        self._known, self.edges, self.is_loaded = known, head.edges, True

    async def encoded(self, since: int | None) -> Sequence[bytes]:
        """Return what changed since a revision, or everything, as an edge reads it, in pieces.

        It is as new as what was known when this was called. Of many edges that ask the same one
        pays, and none that asks for a little waits for one that asks for everything.
        """
        wanted = self._version
        key = since if self._known.covers(since) else None
        async with self._encoding_all if key is None else self._encoding_some:
            version, chunks = self._encoded.get(key, (-1, ()))
            return chunks if version >= wanted else await self._encode(key)

    async def _encode(self, key: int | None) -> Sequence[bytes]:
        version, chunks = self._version, list[bytes]()
        for chunk in delta_chunks(self.delta(key)):
            chunks.append(chunk)
            await asyncio.sleep(0)
        if len(self._encoded) >= MAX_ENCODED:
            self._encoded.clear()
        self._encoded[key] = version, chunks
        return chunks

    def delta(self, since: int | None) -> RouteDelta:
        """Return what changed since a revision; everything without one, or with one too old."""
        return self._known.delta(since)
