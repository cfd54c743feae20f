"""Upstream over sessions: chooses a session, opens a stream on it, and retries on another."""

import asyncio
from collections.abc import Callable
from typing import override

from towonel.edge.core.balance import MAX_TRIES, SESSION_CODES, Balancer, Draw
from towonel.edge.metrics import Metrics
from towonel.edge.sessions import Sessions
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import Session
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.preamble import Preamble


class SessionDialer(Upstream):
    """Upstream that opens streams: up to three tries, before any byte has come back."""

    def __init__(
        self,
        sessions: Sessions,
        balance: Balancer,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        draw: Draw,
        open_timeout_s: float,
    ) -> None:
        self._sessions = sessions
        self._balance = balance
        self._metrics = metrics
        self._clock = clock
        self._draw = draw
        self._open_timeout_s = open_timeout_s

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        try:
            async with asyncio.timeout(self._open_timeout_s):
                return await self._try_sessions(client)
        except TimeoutError as error:
            raise Unavailable(Code.ORIGIN_TIMEOUT, "no agent answered in time") from error

    async def _try_sessions(self, client: ClientConnection) -> Pipe:
        failure: TowonelError = Unavailable(Code.NO_AGENT, str(client.route.service))
        tried: set[bytes] = set()
        while len(tried) < MAX_TRIES and (choice := self._order_untried(client, tried)):
            session = choice[0]
            if tried:
                self._metrics.retries.labels(failure.code.word).inc()
            tried.add(session.session_id)
            has_other = len(choice) > 1 and len(tried) < MAX_TRIES
            try:
                return await self._open(
                    session, client, allow_silent=not has_other and not client.lanes_silent
                )
            except TowonelError as error:
                failure = error
        raise failure

    def _order_untried(self, client: ClientConnection, tried: set[bytes]) -> list[Session]:
        """Look again before each try: a session that was lost may be back as another."""
        route = client.route
        serving = self._sessions.find(route.tenant_id, route.service)
        untried = [session for session in serving if session.session_id not in tried]
        return self._balance.order(
            route.service,
            untried,
            now=self._clock(),
            draw=self._draw,
            client=client.source.ip.packed,
        )

    async def _open(
        self, session: Session, client: ClientConnection, *, allow_silent: bool
    ) -> Pipe:
        service, record = client.route.service, client.record
        trace = None if record is None else record.traceparent
        names = client.server_name, trace, client.route.port
        preamble = Preamble(
            client.source, client.destination, service, *names, challenge=client.challenge
        )
        try:
            pipe = await session.open(preamble, client.first, allow_silent=allow_silent)
        except TowonelError as error:
            if error.code not in SESSION_CODES and client.challenge is None:
                self._balance.record_failure(service, session.session_id, self._clock())
            raise
        if client.challenge is None:  # which another origin may have answered
            self._balance.record_success(service, session.session_id)
        if record is not None:
            record.agent_id = session.agent_id
        return pipe
