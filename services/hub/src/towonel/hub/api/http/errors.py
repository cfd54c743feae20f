"""Error responses: one envelope, `{"error": {"code", "message"}}`, and the status of each code."""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from towonel.api.errors import ErrorBody, ErrorOut
from towonel.hub.api.http.address_limit import client_address, limit_address
from towonel.hub.api.http.methods import find_methods
from towonel.hub.api.http.problems import format_problems
from towonel.hub.context import Hub
from towonel.hub.core.rate_limits import source_of
from towonel.runtime.tracing.telemetry import current_trace_id
from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable

STATUS: Mapping[Code, int] = {
    Code.INVALID_REQUEST: 400,
    Code.INVALID_SIGNATURE: 400,
    Code.UNSUPPORTED_OP: 400,
    Code.UNAUTHORIZED: 401,
    Code.CLOCK_SKEW: 401,
    Code.REPLAYED: 401,
    Code.GRANT_INVALID: 401,
    Code.GRANT_EXPIRED: 401,
    Code.GRANT_FOREIGN: 403,
    Code.TENANT_NOT_ALLOWED: 403,
    Code.TENANT_REVOKED: 403,
    Code.TENANT_SUSPENDED: 403,
    Code.FORBIDDEN: 403,
    Code.HOSTNAME_NOT_OWNED: 403,
    Code.EDGE_UNKNOWN: 403,
    Code.CERTIFICATE_MISMATCH: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.CLIENT_TIMEOUT: 408,
    Code.SEQUENCE_CONFLICT: 409,
    Code.HOSTNAME_CONFLICT: 409,
    Code.PORT_CONFLICT: 409,
    Code.IDEMPOTENCY_CONFLICT: 409,
    Code.QUOTA_EXCEEDED: 409,
    Code.INVITE_EXPIRED: 410,
    Code.PRECONDITION_FAILED: 412,
    Code.TOO_LARGE: 413,
    Code.UNSUPPORTED_VERSION: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.HUB_UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
}
MAX_LOGGED_CHARS = 500
MAX_LOGGED_PATH_CHARS = 200
# `curl -d` sends a form by default.
_NO_OBJECT = "must be a JSON object, sent with content-type: application/json"
_NO_PATH = "there is no such path; /docs and /v1/openapi.json tell which there are"
_FRAMEWORK = {
    401: Code.UNAUTHORIZED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    408: Code.CLIENT_TIMEOUT,
    413: Code.TOO_LARGE,
    500: Code.INTERNAL,
    503: Code.OVERLOADED,
}


STATUS_DESCRIPTIONS = {
    400: "What was sent breaks a rule; the message names the field and the rule.",
    401: "No key or signature, or one that does not count.",
    403: "The key or signature counts, and does not allow this.",
    404: "There is no such thing, or not for this caller.",
    408: "The body did not come in time.",
    409: "It clashes with what is there; the message names every clash.",
    410: "The invite has expired.",
    412: "It changed since it was read.",
    413: "The body is too large.",
    422: "The version of the signed entry is not known here.",
    429: "Too many requests; Retry-After says when to come back.",
    500: "A mistake of the hub's.",
    503: "The database is away, or too many ask at once; Retry-After says when to come back.",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented errors of an operation; `document` adds the common ones."""
    return {
        status: {"model": ErrorOut, "description": STATUS_DESCRIPTIONS[status]}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Register the handlers that answer every exception with the envelope."""
    app.add_exception_handler(TowonelError, _handle_towonel_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_error)


def envelope(
    status: int, code: Code, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response for a failure."""
    trace_id = current_trace_id()
    body = ErrorOut(error=ErrorBody(code=code.word, message=message, trace_id=trace_id))
    return JSONResponse(body.model_dump(exclude_none=True), status, headers)


def status_of(error: TowonelError) -> int:
    """Return the HTTP status of a failure: by its code, else by its class."""
    if isinstance(error, Unavailable):
        return STATUS.get(error.code, 503)
    return STATUS.get(error.code, 400 if isinstance(error, ProtocolError) else 403)


def respond(hub: Hub, request: Request, error: TowonelError) -> JSONResponse:
    """Return the response for a failure, and log and count it."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable):
        headers["retry-after"] = str(math.ceil(error.retry_after_s or 1))
    if status == 401:  # noqa: PLR2004 RFC 9110 §15.5.2 wants the header
        headers["www-authenticate"] = "Bearer, Signature"
    return _refuse(hub, request, status, error.code, error.detail or error.code.word, headers)


def shorten(path: str) -> str:
    """Return the path of a request as the log has it."""
    return path[:MAX_LOGGED_PATH_CHARS]


async def _handle_towonel_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TowonelError), "the handler is installed for these"
    return respond(request.app.state.hub, request, error)


async def _handle_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "the handler is installed for these"
    # A problem of a body names the field only; others name query, header or path, too.
    details = [
        {**item, "loc": item["loc"][1:] if item["loc"][:1] == ("body",) else item["loc"]}
        for item in error.errors()
    ]
    if (details[0]["loc"], details[0]["type"]) == ((), "model_attributes_type"):
        details[0]["msg"] = _NO_OBJECT
    body = getattr(request.scope.get("route"), "body_field", None)
    problems = format_problems(details, body and body.field_info.annotation)
    return respond(request.app.state.hub, request, Denied(Code.INVALID_REQUEST, problems))


async def _handle_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException), "the handler is installed for these"
    hub: Hub = request.app.state.hub
    try:
        await limit_address(hub, request)  # whatever it says: no key was looked at
    except Unavailable as limited:
        return respond(hub, request, limited)
    code = _FRAMEWORK.get(error.status_code, Code.INVALID_REQUEST)
    message = _NO_PATH if code is Code.NOT_FOUND else str(error.detail)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if code is Code.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(find_methods(request.app, request.scope["path"]))
        message = f"{request.method} is not allowed here; allowed are {headers['allow']}"
    return _refuse(hub, request, error.status_code, code, message, headers)


def _refuse(
    hub: Hub,
    request: Request,
    status: int,
    code: Code,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    hub.metrics.refused.labels(code.word).inc()
    event = "request.refused" if status < 500 else "request.failed"  # noqa: PLR2004 an error of the hub
    address = client_address(hub, request)
    hub.log_limit.info(
        event,
        key=(code, source_of(address)),
        address=address,
        path=shorten(request.scope["path"]),
        code=code.word,
        detail=message[:MAX_LOGGED_CHARS],
    )
    # A driver's message names hosts and users of the database; callers without a key must not see it.
    public_message = (
        "the database is away or busy; ask again" if code is Code.HUB_UNAVAILABLE else message
    )
    return envelope(status, code, public_message, headers)
