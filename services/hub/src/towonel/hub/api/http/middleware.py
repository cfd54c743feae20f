"""Middleware of every request: request id, limits on bodies and concurrency, log and metrics."""

import contextlib
import re
import uuid

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towonel.hub.api.http.address_limit import client_source, limit_address
from towonel.hub.api.http.errors import envelope, respond, shorten
from towonel.hub.api.http.methods import as_get
from towonel.hub.api.http.request_body import MAX_BODY_BYTES, MAX_BYTES, RequestBody
from towonel.hub.context import Hub
from towonel.hub.core.body_budget import BodyBudget
from towonel.wire.errors import Code, Denied, TowonelError, Unavailable

log: structlog.stdlib.BoundLogger = structlog.get_logger()
OPEN_PATHS = ("/docs", "/v1/openapi.json", "/v1/health")  # no key is looked at
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

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub
        self._bodies = BodyBudget(hub.bounds.body_bytes, hub.bounds.awaited_bodies)
        self._running = 0
        hub.metrics.body_bytes.set_function(lambda: self._bodies.held_bytes)
        hub.metrics.awaited_bodies.set_function(lambda: self._bodies.awaited)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope, receive, send = as_get(scope, receive, send)
        answer, path = _Response(send, _request_id(scope)), shorten(scope["path"])
        self._running += 1
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id.decode()):
            try:
                await self._call_within_limits(scope, receive, answer.send)
            except ClientDisconnect:
                answer.status = answer.status or CLIENT_CLOSED
            except Exception as error:
                log.exception("request.crashed", path=path, error=type(error).__name__)
                if answer.status:
                    raise  # the response has started: only closing the connection can signal the failure
                crash = "internal error; the hub's log has the details"
                await envelope(500, Code.INTERNAL, crash)(scope, receive, answer.send)
            finally:
                self._running -= 1
                endpoint = getattr(scope.get("route"), "path", "unmatched")
                self._hub.metrics.requests.labels(endpoint, str(answer.status)).inc()
                log.debug("request.answered", path=path, status=answer.status)

    async def _call_within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            limit = await self._admit(request)
        except TowonelError as error:
            await respond(self._hub, request, error)(scope, receive, send)
            return
        source = client_source(self._hub, request)
        body = RequestBody(receive, limit, self._hub.bounds.body_s, source, self._bodies)
        request.state.body = body
        with self._bodies.hold(body.held), contextlib.ExitStack() as at_end:
            request.state.at_end = at_end  # of what is held until the answer is sent
            await self._app(scope, body.receive, send)

    async def _admit(self, request: Request) -> int:
        """Return the bytes that the body of a request may have.

        Raises:
            Unavailable: OVERLOADED, or RATE_LIMITED for an address that has no key.
            Denied: TOO_LARGE.
        """
        if self._running - self._bodies.awaited > self._hub.bounds.requests:
            message = f"more than {self._hub.bounds.requests} requests at once; ask again"
            raise Unavailable(Code.OVERLOADED, message, retry_after_s=1)
        is_open = request.scope["path"].startswith(OPEN_PATHS)
        if is_open or "authorization" not in request.headers:
            await limit_address(self._hub, request)
        limit = MAX_BYTES.get(request.scope["path"], MAX_BODY_BYTES)
        declared = request.headers.get("content-length", "0").encode()
        if not declared.isdigit() or int(declared) > limit:
            await limit_address(self._hub, request)
            raise Denied(Code.TOO_LARGE, f"a body of more than {limit} bytes")
        return limit


def _request_id(scope: Scope) -> bytes:
    sent: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex.encode()
