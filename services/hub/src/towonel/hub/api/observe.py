"""Around every request: an id, a bound on its body, a count and a log line."""

import re
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towonel.hub.api.errors import envelope
from towonel.hub.metrics import Metrics
from towonel.wire.errors import Code, ProtocolError

log: structlog.stdlib.BoundLogger = structlog.get_logger()
MAX_BODY_BYTES = 64 * 1024
MAX_STATE_BYTES = 1024 * 1024  # a desired state of 1 000 services
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Observe:
    """ASGI middleware; the outermost, so that it sees what the others answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        status = 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id.decode()):
            await self._bounded(scope, receive, sent)
            route = scope.get("route")
            endpoint = getattr(route, "path", "unmatched")
            self._metrics.requests.labels(endpoint, str(status)).inc()
            log.debug("request.answered", method=scope["method"], path=scope["path"], status=status)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = MAX_STATE_BYTES if scope["path"] == "/v1/desired-state" else MAX_BODY_BYTES
        taken = 0

        async def received() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise ProtocolError(Code.TOO_LARGE, f"a body of more than {limit} bytes")
            return message

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            answer = envelope(413, Code.TOO_LARGE, f"a body of more than {limit} bytes")
            await answer(scope, receive, send)
            return
        await self._app(scope, received, send)


def _request_id(scope: Scope) -> bytes:
    given: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()
