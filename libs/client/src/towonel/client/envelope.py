"""Decoder of the hub's error envelope, `{"error": {"code", "message"}}`, into exceptions.

Only an answer with the hub's own envelope is a refusal. Any other answer that is not a success (a
proxy's error page, a captive portal) counts as a hub that cannot be reached.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable

MAX_MESSAGE_CHARS = 500  # of the hub's message that goes into an error; enough for a list of names
MAX_RETRY_AFTER_S = 3600.0  # bounds what an answer can ask for

_FIRST_BROKEN, _FIRST_REFUSED, _FIRST_UNAVAILABLE = Code.MALFORMED, Code.UNAUTHORIZED, Code.NO_ROUTE

# For codes of a newer hub, which are unknown here.
_BY_STATUS: dict[int, Code] = {
    HTTPStatus.UNAUTHORIZED: Code.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: Code.FORBIDDEN,
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD_NOT_ALLOWED,
    HTTPStatus.GONE: Code.INVITE_EXPIRED,
    HTTPStatus.PRECONDITION_FAILED: Code.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: Code.RATE_LIMITED,
}


class ForeignAnswer(Unavailable):
    """Answer that is no hub's: of a proxy, of another server, or of a hub without that operation."""

    def __init__(self, status: int, detail: str, *, retry_after_s: float | None) -> None:
        super().__init__(Code.HUB_UNAVAILABLE, detail, retry_after_s=retry_after_s)
        self.status = status


class NotConnected(Unavailable):
    """Error of a hub to which there is no connection: it does not run there, or the way to it is cut."""

    def __init__(self, detail: str) -> None:
        super().__init__(Code.HUB_UNAVAILABLE, detail)


def error_from(
    status: int, body: bytes, headers: Mapping[str, str], requested: str
) -> TowonelError:
    """Return the exception that an answer of the hub stands for.

    Args:
        status: the HTTP status, anything but 2xx.
        body: the answer's body, already bounded.
        headers: the answer's headers, lower-case; `retry-after` in seconds is read.
        requested: the request's method and address, for an answer that is no hub's.
    """
    envelope = _envelope(body)
    if envelope is None:
        detail = f"{requested}: answered {status}, but not as a hub does: is this its address?"
        return ForeignAnswer(status, detail, retry_after_s=retry_after_s(headers))
    word, message = envelope
    code = Code.__members__.get(word.upper()) or _code_of(status)
    detail = printable(message)
    if _may_be_repeated(status, code):
        return Unavailable(code, detail, retry_after_s=retry_after_s(headers))
    return Denied(code, detail) if code >= _FIRST_REFUSED else ProtocolError(code, detail)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, bounded; None without it or as a date."""
    text = headers.get("retry-after", "").strip()
    if not (text.isascii() and text.isdigit()):
        return None
    return min(float(text), MAX_RETRY_AFTER_S)


def printable(text: str) -> str:
    """Return a remote text without characters that could move a cursor or forge a log line."""
    return visible(text[:MAX_MESSAGE_CHARS]).strip()


def visible(text: str) -> str:
    """Return a text with a space for each character that is not printable."""
    return "".join(char if char.isprintable() else " " for char in text)


def _envelope(body: bytes) -> tuple[str, str] | None:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    match parsed:
        case {"error": {"code": str(code), "message": str(message)}}:
            return code, message
        case _:
            return None


def _code_of(status: int) -> Code:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Code.HUB_UNAVAILABLE
    return _BY_STATUS.get(status, Code.INVALID_REQUEST)


def _may_be_repeated(status: int, code: Code) -> bool:
    return (
        status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or not _FIRST_BROKEN <= code < _FIRST_UNAVAILABLE
    )
