"""Cache of all routes in memory, so that no edge costs the database a query.

Each hub process has one, which catches up with the database when there is a newer revision. While the
database is unavailable it stays as it is, and edges are still answered.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog

from towonel.hub.core.route_history import RouteHistory
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import route_history as source
from towonel.hub.store import tenants
from towonel.hub.store.db.transactions import Store
from towonel.runtime.logs import describe_error
from towonel.wire.errors import Unavailable
from towonel.wire.routes import ROUTES_PER_CHUNK, RouteDelta, delta_chunks

FOLLOW_S = 1.0  # an edge that asks waits no longer for the database; it gets what is cached
STALE_S = 2.0  # then, for so long, the database is not asked again on behalf of an edge
MAX_ENCODED = 64  # answers cached for edges that ask the same, as all do after a change
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RouteCache:
    """Cache of all routes at one revision, and of what changed since earlier ones.

    Args:
        store: the database.
        changes: tells that there may be a newer revision; it belongs to one cache.
        rows_at_once: are read from the database before others get their turn.
        routes_per_chunk: are encoded before others get theirs.
    """

    def __init__(
        self,
        store: Store,
        changes: RouteChanges,
        *,
        rows_at_once: int = source.ROWS_AT_ONCE,
        routes_per_chunk: int = ROUTES_PER_CHUNK,
    ) -> None:
        self._store = store
        self._changes = changes
        self._rows_at_once = rows_at_once
        self._routes_per_chunk = routes_per_chunk
        changes.on_change = self.request_refresh
        self._refresh_requested = asyncio.Event()
        self._catching_up = asyncio.Lock()
        self._reads_begun = 0
        self._last_read = 0  # the number of the last read that was not in vain
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
        """The revision that edges get."""
        return self._known.revision

    @property
    def history(self) -> RouteHistory:
        """Routes and changes that are cached; each refresh replaces them."""
        return self._known

    @property
    def tag(self) -> bytes | None:
        """The tag of that revision."""
        return self._known.tag

    def request_refresh(self) -> None:
        """Have the database asked whether something changed."""
        self._refresh_requested.set()

    async def refresh_requested(self, at_most_s: float) -> None:
        """Return when the database should be asked since the last time this returned.

        Without a request it returns after `at_most_s` seconds: a replica can change what has no revision.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._refresh_requested.wait()
        self._refresh_requested.clear()

    async def wait_for_change(
        self, since: int, wait_s: float, stopping: asyncio.Event, *, tag: bytes | None = None
    ) -> bool:
        """Return when the routes changed after a revision, the time is over, or the hub stops.

        A revision with another tag than the cache has for it is one of a history that was undone.

        Returns:
            Whether the cache is up to date; a database that is unavailable leaves that open.
        """
        clock = asyncio.get_running_loop().time
        end_s = clock() + wait_s
        while True:
            # An edge can know more than this replica: it was answered by another one.
            is_current = await self.follow(max(since, self._changes.revision))
            has_changed = self.revision > since or (
                is_current and not self._known.is_at(since, tag)
            )
            left_s = end_s - clock()
            if has_changed or stopping.is_set() or left_s <= 0:
                return is_current
            # A revision that cannot be read is asked for again soon, and not at once.
            known = max(since, self._changes.revision)
            await self._changes.wait_for(known, left_s if is_current else min(left_s, STALE_S))

    async def catch_up(self, revision: int | None = None) -> None:
        """Read what changed, at least up to a revision; without one, whatever there is.

        Raises:
            Unavailable: where the database does not answer; the cache stays as it was.
        """
        async with self._catching_up:
            if revision is None or not self.is_loaded or revision > self.revision:
                await self._read()

    async def follow(self, revision: int | None) -> bool:
        """Catch up with a revision, or stay where it is while the database does not answer.

        Without a revision the database is read after this was called: of many callers, one reads.

        Returns:
            Whether the cache is up to date. Where it is not, what it lacks may exist all the same.

        Raises:
            Unavailable: where nothing was ever loaded.
        """
        if not self.is_loaded:
            await self.catch_up(revision)
        begun = self._reads_begun
        if self._has(revision, begun):
            return True
        if self._is_stale():
            return False
        try:
            async with asyncio.timeout(FOLLOW_S), self._catching_up:
                if not self._has(revision, begun):
                    if self._is_stale():  # the caller before this one has tried
                        return False
                    await self._read()
        except (TimeoutError, Unavailable) as error:
            reason = describe_error(error)
            log.warning("route_cache.update_failed", revision=self.revision, reason=reason)
            self._stale_until_s = asyncio.get_running_loop().time() + STALE_S
            return False
        return True

    def _has(self, revision: int | None, begun: int) -> bool:
        """Whether a revision is cached; without one, whether a later read than `begun` has ended."""
        return self._last_read > begun if revision is None else revision <= self.revision

    def _is_stale(self) -> bool:
        return asyncio.get_running_loop().time() < self._stale_until_s

    async def _read(self) -> None:
        self._reads_begun = number = self._reads_begun + 1
        async with self._store.read() as session:
            head = await source.read_head(session, self.revision)
            is_undone = self.is_loaded and (
                head.revision < self.revision or head.known_tag != self.tag
            )
            is_whole = not self.is_loaded or is_undone or self.revision < head.pruned
            known = RouteHistory() if is_whole else self._known.copy()
            since = None if is_whole else self.revision
            if is_whole or head.revision != self.revision:
                async for part in source.stream_routes(session, since, self._rows_at_once):
                    known.apply(part)
                known.tags |= await source.read_tags(session, since)
                known.apply_limits(await tenants.find_edge_limits(session, since))
        known.finish(head.revision, head.pruned, head.blocks)
        known.edge_list = head.edge_list
        if is_whole or head.revision != self.revision or head.blocks != self._known.blocks:
            self._version += 1
            self._encoded.clear()
        self._known, self.edges, self.is_loaded = known, head.edges, True
        self._last_read = number
        if is_undone:
            log.warning("route_cache.history_replaced", revision=head.revision)
            self._changes.restart_at(head.revision)

    async def encode_since(self, since: int | None, tag: bytes | None = None) -> Sequence[bytes]:
        """Return what changed since a revision, or everything, encoded, in chunks.

        It is as new as the cache was when this was called. Of many edges that ask the same, one
        pays; an edge that asks for a little does not wait for one that asks for everything.
        """
        wanted = self._version
        key = since if self._known.covers(since, tag) else None
        async with self._encoding_all if key is None else self._encoding_some:
            version, chunks = self._encoded.get(key, (-1, ()))
            return chunks if version >= wanted else await self._encode(key)

    async def _encode(self, key: int | None) -> Sequence[bytes]:
        version, chunks = self._version, list[bytes]()
        for chunk in delta_chunks(self.delta(key), self._routes_per_chunk):
            chunks.append(chunk)
            await asyncio.sleep(0)
        if len(self._encoded) >= MAX_ENCODED:
            self._encoded.clear()
        self._encoded[key] = version, chunks
        return chunks

    def delta(self, since: int | None) -> RouteDelta:
        """Return what changed since a revision; everything without one, or with one too old."""
        return self._known.delta(since)
