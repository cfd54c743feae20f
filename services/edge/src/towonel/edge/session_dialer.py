"""Ways as streams on sessions: which session, how often to try, and who is set aside."""

import asyncio
from collections.abc import Callable
from typing import override

from towonel.edge.core.balance import MAX_TRIES, Balancer, Draw
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.preamble import Preamble
from towonel.wire.routes import Route

OPEN_TIMEOUT_S = 15.0  # all tries together; an agent gives its origin 10 s
# These tell of the session, not of the origin: the session is gone, or known to be as it is.
OF_THE_SESSION = frozenset(
    {Code.SESSION_LOST, Code.SESSION_SILENT, Code.GOING_AWAY, Code.SUPERSEDED}
)


class SessionDialer(Upstream):
    """Open streams: up to three tries, before any byte has come back."""

    def __init__(
        self,
        sessions: Sessions,
        balance: Balancer,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        draw: Draw,
    ) -> None:
        self._sessions = sessions
        self._balance = balance
        self._metrics = metrics
        self._clock = clock
        self._draw = draw

    @override
    async def open(self, visit: ClientConnection) -> Pipe:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                return await self._try_sessions(visit)
        except TimeoutError as error:
            raise Unavailable(Code.ORIGIN_TIMEOUT, "no agent answered in time") from error

    async def _try_sessions(self, visit: ClientConnection) -> Pipe:
        failure: TowonelError = Unavailable(Code.NO_AGENT, str(visit.route.service))
        tried: set[bytes] = set()
        while len(tried) < MAX_TRIES and (choice := self._choose(visit.route, tried)):
            session = choice[0]
            if tried:
                self._metrics.retries.labels(failure.code.word).inc()
            tried.add(session.session_id)
            has_other = len(choice) > 1 and len(tried) < MAX_TRIES
            try:
                return await self._open(session, visit, patient=not has_other)
            except TowonelError as error:
                failure = error
        raise failure

    def _choose(self, route: Route, tried: set[bytes]) -> list[Session]:
        """Look again before each try: a session that was lost may be back as another."""
        serving = self._sessions.serving(route.tenant_id, route.service)
        untried = [session for session in serving if session.session_id not in tried]
        return self._balance.order(route.service, untried, now=self._clock(), draw=self._draw)

    async def _open(self, session: Session, visit: ClientConnection, *, patient: bool) -> Pipe:
        service = visit.route.service
        preamble = Preamble(visit.source, visit.destination, service, visit.server_name)
        try:
            pipe = await session.open(preamble, visit.first, allow_silent=patient)
        except TowonelError as error:
            if error.code not in OF_THE_SESSION:
                self._balance.record_failure(service, session.session_id, self._clock())
            raise
        self._balance.record_success(service, session.session_id)
        return pipe
