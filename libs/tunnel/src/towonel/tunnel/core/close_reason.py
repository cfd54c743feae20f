"""Reason for which a connection ended, and the exception that it becomes."""

from dataclasses import dataclass

from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable


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
