"""Reason for which a connection ended, and the exception that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass

from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable

# Of a stream, whose other end sends the code only: an agent tells its edge so.
_MEANINGS: Mapping[Code, str] = {
    Code.NO_SERVICE: "the agent has no such service",
    Code.ORIGIN_REFUSED: "the agent's origin refuses connections",
    Code.ORIGIN_TIMEOUT: "the agent's origin does not answer in time",
    Code.ORIGIN_UNREACHABLE: "the agent cannot reach its origin",
    Code.ORIGIN_RESET: "the agent's origin reset the connection",
    Code.OVERLOADED: "the agent has as many streams as it may",
    Code.SESSION_LOST: "the session was lost",
}


@dataclass(frozen=True, slots=True)
class CloseReason:
    """Code that both ends see, and a `detail` for our own log."""

    code: Code
    detail: str = ""


def to_error(reason: CloseReason) -> TowonelError:
    """Return the exception for a reason: bytes that are wrong, a refusal, or a loss."""
    if Code.MALFORMED <= reason.code < Code.NOT_TLS:
        return ProtocolError(reason.code, reason.detail)
    if Code.UNAUTHORIZED <= reason.code < Code.NO_ROUTE:
        return Denied(reason.code, reason.detail)
    return Unavailable(reason.code, reason.detail)


def stream_error(code: Code) -> Unavailable:
    """Return the exception for a stream that its other end, or the end of its session, ended."""
    return Unavailable(code, _MEANINGS.get(code, "the other end ended the stream"))
