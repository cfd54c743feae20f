"""Notices to agents that the hub lists other edges than before: they ask it for the list, which only it may tell."""

import asyncio
from typing import Final

import structlog

from towonel.edge.sessions import Sessions
from towonel.tunnel.core.events import EdgesRequested

MIN_WITHIN_MS: Final = 500
MS_PER_SESSION: Final = 5  # so that the agents of one edge ask the hub 200 times a second
MAX_WITHIN_MS: Final = 30_000  # half of the time after which they ask in any case
AT_ONCE: Final = 100  # notices, before clients get their turn
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class EdgeNotices:
    """Notices to the agents on these sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._digest: bytes | None = None

    async def follow(self, digest: bytes | None) -> None:
        """Tell agents, if the list with this digest is another one than before; None tells nothing."""
        known, self._digest = self._digest, digest or self._digest
        if known is None or known == self._digest:
            return
        sessions = self._sessions.all()
        within_ms = min(max(MIN_WITHIN_MS, MS_PER_SESSION * len(sessions)), MAX_WITHIN_MS)
        log.info("edges.changed", sessions=len(sessions))
        for number, session in enumerate(sessions):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            session.channel.request(EdgesRequested(within_ms))
