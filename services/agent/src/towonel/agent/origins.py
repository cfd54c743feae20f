"""Relay of streams to origins: each client's stream gets a connection to the origin it asks for."""

import contextlib
from collections.abc import Generator

from towonel.agent.challenges.answer import answer_challenge
from towonel.agent.core.client_counts import ClientCounts, count_alone
from towonel.agent.core.origin_table import OriginTable
from towonel.agent.core.proxy_header import is_unread
from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.agent.metrics import Metrics
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origin_log import OriginLog
from towonel.agent.origin_pipe import OriginPipe
from towonel.agent.origin_watch import OriginWatch
from towonel.agent.timing import DEFAULT_TIMING, OriginTiming
from towonel.runtime.in_flight import InFlight
from towonel.tunnel.relay import relay
from towonel.tunnel.stream_requests import StreamRequest
from towonel.wire.errors import Code, TowonelError, Unavailable
from towonel.wire.preamble import Preamble


class Origins:
    """Relay of the streams that edges hand over; it dials only the origins of the environment.

    Args:
        table: of the origins.
        dialer: of the origins.
        metrics: count clients.
        origin_log: says what origins do wrong.
        max_streams: clients at once, with those that came another way.
        counts: of all of them.
        timing: of the connections.
    """

    def __init__(
        self,
        table: OriginTable[Origin],
        dialer: OriginDialer,
        metrics: Metrics,
        origin_log: OriginLog | None = None,
        *,
        max_streams: int,
        counts: ClientCounts | None = None,
        timing: OriginTiming = DEFAULT_TIMING.origins,
    ) -> None:
        self._table = table
        self._dialer = dialer
        self._metrics = metrics
        self._to_origin = metrics.carried.labels("edge_to_origin")
        self._to_edge = metrics.carried.labels("origin_to_edge")
        self._max_streams = max_streams
        self._counts = counts or count_alone()
        self._log = origin_log or OriginLog()
        self.in_flight = InFlight()
        self.watch = OriginWatch(timing)

    def change(self, table: OriginTable[Origin]) -> None:
        """Connect new clients to the origins of another table."""
        self._table = table

    async def handle(self, request: StreamRequest) -> None:
        """Connect to the origin that is asked for, and carry bytes until both sides are done."""
        if self.in_flight.count + self._counts.elsewhere >= self._max_streams:
            detail = f"{self._max_streams} streams are open, as TOWONEL_AGENT_MAX_STREAMS allows"
            self._refuse(request, Code.OVERLOADED, detail)
            return
        with self._count(), self._metrics.streams.track_inprogress():
            await self._serve(request)

    def flush_logs(self) -> None:
        """Write what was counted instead of logged: at the end of the process."""
        self._log.flush()

    @contextlib.contextmanager
    def _count(self) -> Generator[None]:
        try:
            with self.in_flight:
                self._counts.put(self.in_flight.count)
                yield
        finally:
            self._counts.put(self.in_flight.count)

    async def _serve(self, request: StreamRequest) -> None:
        origin = self._table.find(request.preamble)
        if origin is None:
            self._refuse(request, Code.NO_SERVICE, "this agent has no such service")
            return
        if request.preamble.challenge is not None:
            await self._answer_challenge(request, origin)
            return
        if origin.tls is not None:  # what edges have ended the TLS of comes over lanes only
            self._refuse(request, Code.NO_SERVICE, "its TLS has not ended at the edge")
            return
        try:
            pipe = await self._dialer.dial(origin, request.preamble)
        except Unavailable as error:
            self._refuse(request, error.code, error.detail)
            return
        try:
            stream = await request.accept()
            self._metrics.streams_accepted.inc()
            self._metrics.accepted_by_way.labels("stream").inc()
            with self.watch.track(pipe):
                end = await relay(stream, pipe, self._to_origin.inc, self._to_edge.inc)
            self._count_end(end)
        except TowonelError as error:  # the client left while its origin was dialled
            self._metrics.stream_errors.labels(error.code.word).inc()
        finally:
            await pipe.close()
        self._check_proxy_header(origin, request.preamble, pipe)

    async def _answer_challenge(self, request: StreamRequest, origin: Origin) -> None:
        try:
            await answer_challenge(request, origin, self._dialer)
        except TowonelError as error:
            self._refuse(request, error.code, error.detail)
        else:
            self._count_end(Code.NORMAL)

    def _count_end(self, code: Code) -> None:
        if code is Code.NORMAL:
            self._metrics.streams_completed.inc()
        else:
            self._metrics.stream_errors.labels(code.word).inc()

    def _check_proxy_header(self, origin: Origin, preamble: Preamble, pipe: OriginPipe) -> None:
        """Say so where an origin did not read its PROXY header: the commonest mistake."""
        after_s = pipe.ended_after_s
        if origin.proxy_protocol is ProxyProtocol.NONE or after_s is None:
            return
        if is_unread(preamble.service.kind, pipe.first_bytes, after_s):
            self._metrics.headers_unread.inc()
            self._log.hint(preamble.service, origin)

    def _refuse(self, request: StreamRequest, code: Code, detail: str) -> None:
        request.reject(code)
        self._metrics.stream_errors.labels(code.word).inc()
        self._log.refuse(request.preamble.service, code, detail)
