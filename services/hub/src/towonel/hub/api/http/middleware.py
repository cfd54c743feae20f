"""Middleware of every request: request id, limits on bodies and concurrency, log and metrics."""

import asyncio
import re
import uuid

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towonel.hub.api.http.errors import envelope
from towonel.hub.metrics import Metrics
from towonel.runtime.web import CONNECTIONS
from towonel.wire.errors import Code

log: structlog.stdlib.BoundLogger = structlog.get_logger()
MAX_BODY_BYTES = 64 * 1024
MAX_BYTES = {
    "/v1/desired-state": 1024 * 1024,  # 1 000 services
    "/v1/edges/report": 8 * 1024 * 1024,  # 10 000 sessions
}
BODY_TIMEOUT_S = 20.0  # from the head to the last byte; a normal body takes a round trip or two
MAX_REQUESTS = CONNECTIONS - 100  # concurrent; the connections left are for refusals
CLIENT_CLOSED = 499  # the client left before the response; nginx uses the same status
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class _Response:
    """Response as it is sent; `status` is 0 before it starts."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"x-request-id", self.request_id)]
        await self._send(message)


class RequestMiddleware:
    """ASGI middleware, the outermost, so that it sees every response."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Response(send, _request_id(scope))
        self._running += 1
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id.decode()):
            try:
                await self._call_within_limits(scope, receive, answer.send)
            except ClientDisconnect:
                answer.status = answer.status or CLIENT_CLOSED
            except Exception as error:
                log.exception("request.crashed", path=scope["path"], error=type(error).__name__)
                if answer.status:
                    raise  # the response has started: only closing the connection can signal the failure
                crash = "internal error; the hub's log has the details"
                await envelope(500, Code.INTERNAL, crash)(scope, receive, answer.send)
            finally:
                self._running -= 1
                endpoint = getattr(scope.get("route"), "path", "unmatched")
                self._metrics.requests.labels(endpoint, str(answer.status)).inc()
                log.debug("request.answered", path=scope["path"], status=answer.status)

    async def _call_within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_BYTES.get(scope["path"], MAX_BODY_BYTES)
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S
        received_bytes, is_complete = 0, False

        async def receive_within_limits() -> Message:
            nonlocal received_bytes, is_complete
            try:
                async with asyncio.timeout_at(None if is_complete else deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "the body did not come in time") from error
            is_complete = not message.get("more_body", False)
            received_bytes += len(message.get("body", b""))
            if received_bytes > limit:
                raise HTTPException(413, f"a body of more than {limit} bytes")
            return message

        if self._running > MAX_REQUESTS:
            message = f"more than {MAX_REQUESTS} requests at once; ask again"
            await envelope(503, Code.OVERLOADED, message, {"retry-after": "1"})(
                scope, receive, send
            )
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            answer = envelope(413, Code.TOO_LARGE, f"a body of more than {limit} bytes")
            await answer(scope, receive, send)
            return
        await self._app(scope, receive_within_limits, send)


def _request_id(scope: Scope) -> bytes:
    sent: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
