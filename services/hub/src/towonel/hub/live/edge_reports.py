"""Cache of what edges reported, in each hub process, refreshed from the database on demand."""

import asyncio
from collections.abc import Sequence

import structlog

from towonel.api.reports import EdgeReport
from towonel.api.traffic import Traffic
from towonel.hub.core.live_view import STALE_MS, LiveAgent, LiveView
from towonel.hub.store import reports
from towonel.hub.store.db.transactions import Store
from towonel.wire.errors import Unavailable

READ_S = 2.0  # then the cached reports are served; a caller reads the database, too
REFRESH_MS = 1_000  # edges report every ten seconds: to ask more often shows no more
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class EdgeReports:
    """Cache of the newest report of each edge, and the view that they give together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading = asyncio.Lock()
        self._reports: dict[bytes, tuple[int, EdgeReport]] = {}
        self._reads = 0
        self._read_ms: int | None = None
        self._view = LiveView({}, 0)

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
            self._reports |= {edge_id: (at_ms, report) for edge_id, at_ms, report in newer}
            fresh = {k: it for k, it in self._reports.items() if now_ms - it[0] <= STALE_MS}
            self._reports, self._read_ms = fresh, now_ms
            self._view = await asyncio.to_thread(LiveView, fresh, now_ms)
            self._reads += 1

    def agent(self, agent_id: bytes) -> LiveAgent | None:
        """Return an agent that an edge has a session with."""
        return self._view.agents.get(agent_id)

    def agent_ids(self) -> list[bytes]:
        """Return the ids of all live agents."""
        return list(self._view.agents)

    def agents_of(self, tenant_id: bytes) -> Sequence[bytes]:
        """Return the ids of a tenant's live agents."""
        return self._view.tenant(tenant_id).agents

    def traffic_of(self, tenant_id: bytes) -> Traffic:
        """Return the traffic that edges carried for a tenant."""
        return self._view.tenant(tenant_id).traffic

    def serving(self, tenant_id: bytes, service: str) -> Sequence[bytes]:
        """Return the agents that serve a tenant's service, `https:app.example.eu` or `tcp:ssh`."""
        return self._view.serving(tenant_id, service)

    def edge_is_live(self, edge_id: bytes) -> bool:
        """Whether an edge reported recently."""
        return edge_id in self._view.edges

    def edge_count(self) -> int:
        """Return how many edges reported recently."""
        return len(self._view.edges)

    def sessions_of(self, edge_id: bytes) -> int:
        """Return how many agents an edge has sessions with."""
        edge = self._view.edges.get(edge_id)
        return edge.sessions if edge else 0

    def traffic_of_edge(self, edge_id: bytes) -> Traffic:
        """Return the traffic of an edge since it started."""
        edge = self._view.edges.get(edge_id)
        return edge.traffic if edge else Traffic()

    def _is_fresh(self, now_ms: int) -> bool:
        return self._read_ms is not None and 0 <= now_ms - self._read_ms < REFRESH_MS
