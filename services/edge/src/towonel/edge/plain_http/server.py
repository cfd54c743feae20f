"""Server of plain HTTP: one request a connection, which is answered, redirected, or asked of an agent."""

import asyncio
import contextlib
import random
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import assert_never

import structlog

from towonel.edge.core.access_log import AccessRecord
from towonel.edge.core.http.plain_http import (
    Answer,
    Challenge,
    Redirect,
    Refusal,
    decide,
    encode_answer,
    find_status,
    parse_head,
)
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.edge.plain_http.admission import HttpAdmission
from towonel.edge.plain_http.client import HttpClient
from towonel.edge.streams.access_log import AccessLogWriter
from towonel.edge.streams.graceful_close import close_gracefully
from towonel.edge.streams.refusals import Refusals
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.edge.worker.routing import find_route
from towonel.runtime.addresses import source_of
from towonel.runtime.log_limit import LogLimit
from towonel.runtime.sockets import PAUSE_S, accept_forever
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.names import Hostname
from towonel.wire.policy.challenge import MAX_ANSWER_BYTES

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HttpTiming:
    """Timers of plain HTTP, in seconds.

    Args:
        head_s: from accept until the head is whole.
        answer_s: for an agent's whole answer.
        linger_s: for a client to read the last of its answer.
    """

    head_s: float
    answer_s: float
    linger_s: float


class HttpServer:
    """Server of plain HTTP.

    Args:
        table: the routes.
        upstream: opens a pipe to a service.
        metrics: count answers.
        refusals: writes lines about clients that are refused.
        access_log: writes lines about clients that are drawn for one.
        log_share: of them that are.
        timing: of their connections.
        hub_name: the hub's own, if TLS of that ends here.
    """

    def __init__(
        self,
        table: RouteTable,
        upstream: Upstream,
        metrics: Metrics,
        refusals: Refusals,
        access_log: AccessLogWriter,
        *,
        log_share: float,
        timing: HttpTiming,
        hub_name: Hostname | None = None,
    ) -> None:
        self._table = table
        self._upstream = upstream
        self._metrics = metrics
        self._refusals = refusals
        self._access_log = access_log
        self._log_share = log_share
        self._timing = timing
        self._hub_name = hub_name
        self._accept_failures = LogLimit()
        self._admission = HttpAdmission()

    @contextlib.asynccontextmanager
    async def run(self, listener: socket.socket) -> AsyncGenerator[None]:
        """Serve the clients of a listening socket for the time of the block, and close it."""
        with listener:
            async with asyncio.TaskGroup() as tasks:
                serving = set[asyncio.Task[None]]()

                def start(sock: socket.socket) -> None:
                    task = tasks.create_task(self.serve(sock))
                    serving.add(task)
                    task.add_done_callback(serving.discard)

                accepting = tasks.create_task(accept_forever(listener, start, self._on_error))
                try:
                    yield
                finally:
                    for task in (accepting, *serving):
                        task.cancel()

    def _on_error(self, word: str) -> None:
        self._accept_failures.warning("http.accept_failed", key=word, error=word, pause_s=PAUSE_S)

    async def serve(self, sock: socket.socket) -> None:
        """Serve one client to its end, and close it; never raises an `Exception`."""
        with sock:
            try:
                await self._serve(HttpClient.of(sock))
            except OSError:  # it has left
                return
            except Exception:
                log.exception("client.crashed")

    async def _serve(self, client: HttpClient) -> None:
        with self._admission.count(source_of(client.source.ip)) as code:
            if code is not None:
                if self._admission.is_flooded:
                    self._end(client, "refused", code, "")
                else:
                    await self._refuse(client, Refusal(429, code), "")
                return
            if random.random() < self._log_share:  # noqa: S311 nothing secret
                client.record = AccessRecord(secrets.token_bytes(16), time.monotonic())
            try:
                async with asyncio.timeout(self._timing.head_s):
                    head = await client.read_head()
                request = parse_head(head)
            except TimeoutError:
                await self._refuse(client, Refusal(408, Code.CLIENT_TIMEOUT), "no head in time")
            except Unavailable as error:
                self._end(client, "refused", error.code, error.detail)
            except ProtocolError as error:
                await self._refuse(client, Refusal(400, error.code), error.detail)
            else:
                client.name = request.name
                await self._answer(client, decide(request, self._is_published))

    def _is_published(self, name: Hostname) -> bool:
        return name == self._hub_name or self._table.lookup(name) is not None

    async def _answer(self, client: HttpClient, answer: Answer) -> None:
        match answer:
            case Redirect(location):
                await self._send(client, encode_answer(308, location), "redirect")
            case Challenge(name, token):
                await self._ask(client, name, token)
            case Refusal():
                await self._refuse(client, answer, f"{client.name}")
            case _:
                assert_never(answer)

    async def _ask(self, client: HttpClient, name: Hostname, token: str) -> None:
        """Let the name's origin answer a challenge."""
        try:
            async with asyncio.timeout(self._timing.answer_s):
                answer = await self._fetch(client, name, token)
        except TowonelError as error:
            await self._refuse(client, Refusal(find_status(error.code), error.code), error.detail)
        except TimeoutError:
            refusal = Refusal(504, Code.ORIGIN_TIMEOUT)
            await self._refuse(client, refusal, "no whole answer in time")
        else:
            await self._send(client, answer, "challenge")

    async def _fetch(self, client: HttpClient, name: Hostname, token: str) -> bytes:
        """Return what an origin answers to a challenge.

        Raises:
            TowonelError: there is no such route or agent, the client is of another network, or the origin failed.
        """
        client.route = route = find_route(self._table, name, client.source.ip)
        connection = ClientConnection(
            client.source, client.destination, route, name, b"", client.record, challenge=token
        )
        pipe = await self._upstream.open(connection)
        try:
            answer = b""
            while data := await pipe.read():
                answer += data
                if len(answer) > MAX_ANSWER_BYTES:
                    raise Unavailable(Code.ORIGIN_RESET, f"more than {MAX_ANSWER_BYTES} bytes")
        finally:
            await pipe.close()
        if not answer:
            raise Unavailable(Code.ORIGIN_RESET, "no answer")
        return answer

    async def _send(
        self,
        client: HttpClient,
        data: bytes,
        answer: str,
        code: Code = Code.NORMAL,
        detail: str = "",
    ) -> None:
        client.bytes_out = len(data)
        linger_s = self._timing.linger_s
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(linger_s):
                await asyncio.get_running_loop().sock_sendall(client.sock, data)
        self._end(client, answer, code, detail)
        await close_gracefully(client.sock, b"", linger_s)

    async def _refuse(self, client: HttpClient, refusal: Refusal, detail: str) -> None:
        await self._send(client, encode_answer(refusal.status), "refused", refusal.code, detail)

    def _end(self, client: HttpClient, answer: str, code: Code, detail: str) -> None:
        self._metrics.http_requests.labels(answer).inc()
        if code is not Code.NORMAL:
            self._refusals.log(client.describe(), code, detail)
        record = client.record
        if record is None:
            return
        record.peer = str(client.source.ip), client.source.port
        record.hostname = client.name
        if client.route is not None:
            record.tenant_id, record.service = client.route.tenant_id, str(client.route.service)
        now = time.monotonic()
        self._access_log.write(record.finish(code, client.bytes_in, client.bytes_out, now))
