"""Cache of what edges reported, in each hub process, refreshed from the database on demand."""

import asyncio
from collections.abc import Sequence

import structlog

from towonel.api.reports import EdgeReport
from towonel.hub.core.live_view import STALE_MS, LiveView, is_fresh
from towonel.hub.store import reports
from towonel.hub.store.db.transactions import Store
from towonel.runtime.logs import describe_error
from towonel.wire.errors import Code, Unavailable

READ_S = 2.0  # then the cached reports are served
KNOWN_MS = 20_000  # after the database answered last: then reports of edges that are live expire
REFRESH_MS = 1_000  # edges report every ten seconds: to ask more often shows no more
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class EdgeReports:
    """Cache of the newest report of each edge; `view` is what they say together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._reports: dict[bytes, tuple[int, EdgeReport]] = {}
        self._reads: int = 0
        self._read_ms: int | None = None  # also in vain
        self._known_ms: int | None = None
        self.view = LiveView({}, 0)

    async def refresh(self, now_ms: int) -> None:
        """Read what edges reported since; a database that is away for a moment is passed over.

        Raises:
            Unavailable: HUB_UNAVAILABLE once what is cached would tell of edges that they ended.
        """
        reads = self._reads
        async with self._reading:
            # Else the caller before this one has read meanwhile, or failed to.
            if self._reads == reads and not self._is_fresh(now_ms):
                await self._update(now_ms)
        if self._known_ms is None or now_ms - self._known_ms > KNOWN_MS:
            detail = "database: it does not answer: which agents and edges are live is not known"
            raise Unavailable(Code.HUB_UNAVAILABLE, detail, retry_after_s=READ_S)

    async def _update(self, now_ms: int) -> None:
        newer = await self._read_newer(now_ms)
        if newer is not None:
            self._reports |= {edge: (at_ms, report) for edge, at_ms, report in newer}
            self._known_ms = now_ms
        self._reports = {edge: it for edge, it in self._reports.items() if is_fresh(it[0], now_ms)}
        self._read_ms = now_ms
        self.view = await asyncio.to_thread(LiveView, self._reports, now_ms)
        self._reads += 1

    async def _read_newer(self, now_ms: int) -> Sequence[tuple[bytes, int, EdgeReport]] | None:
        """Return the reports that came since; None where the database does not answer."""
        try:
            async with asyncio.timeout(READ_S), self._store.read() as session:
                known = {edge_id: at_ms for edge_id, (at_ms, _) in self._reports.items()}
                return await reports.find_newer(session, known, now_ms - STALE_MS)
        except (TimeoutError, Unavailable) as error:
            log.warning("edge_reports.update_failed", reason=describe_error(error))
            return None

    def _is_fresh(self, now_ms: int) -> bool:
        return self._read_ms is not None and 0 <= now_ms - self._read_ms < REFRESH_MS
