"""Cache of what edges reported, in each hub process, refreshed from the database on demand."""

import asyncio

import structlog

from towonel.api.reports import EdgeReport
from towonel.hub.core.live_view import STALE_MS, LiveView, is_fresh
from towonel.hub.store import reports
from towonel.hub.store.db.transactions import Store
from towonel.wire.errors import Unavailable

READ_S = 2.0  # then the cached reports are served; a caller reads the database, too
REFRESH_MS = 1_000  # edges report every ten seconds: to ask more often shows no more
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class EdgeReports:
    """Cache of the newest report of each edge; `view` is what they say together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._reports: dict[bytes, tuple[int, EdgeReport]] = {}
        self._reads: int = 0
        self._read_ms: int | None = None
        self.view = LiveView({}, 0)

    async def refresh(self, now_ms: int) -> None:
        """Read what edges reported since; while the database is unavailable, what is cached expires."""
        reads = self._reads
        async with self._reading:
            if self._reads != reads or self._is_fresh(now_ms):
                return  # the caller before this one has read meanwhile, or failed to
            try:
                async with asyncio.timeout(READ_S), self._store.read() as session:
                    known = {edge_id: at_ms for edge_id, (at_ms, _) in self._reports.items()}
                    newer = await reports.find_newer(session, known, now_ms - STALE_MS)
            except (TimeoutError, Unavailable) as error:
                log.warning("edge_reports.update_failed", reason=str(error))
                newer = ()
            received = self._reports | {edge: (at_ms, report) for edge, at_ms, report in newer}
            fresh = {edge: it for edge, it in received.items() if is_fresh(it[0], now_ms)}
            self._reports, self._read_ms = fresh, now_ms
            self.view = await asyncio.to_thread(LiveView, fresh, now_ms)
            self._reads += 1

    def _is_fresh(self, now_ms: int) -> bool:
        return self._read_ms is not None and 0 <= now_ms - self._read_ms < REFRESH_MS
