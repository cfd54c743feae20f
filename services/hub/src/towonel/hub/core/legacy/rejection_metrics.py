"""Metric labels of refused signed entries: the original's where it has one."""

from towonel.wire.errors import Code
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    Op,
    SetHostnameTls,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)

INTERNAL = "internal"  # an error of the hub or its database
_PLAIN = {
    Code.MALFORMED: "invalid_cbor",
    Code.TOO_LARGE: "invalid_cbor",
    Code.TENANT_REVOKED: "tenant_not_allowed",
    Code.HUB_UNAVAILABLE: INTERNAL,
}


def reason_of(code: Code, op: Op | None) -> str:
    """Return the metric's label for a refusal.

    Args:
        code: the error code.
        op: of the entry, or None if it could not be decoded.
    """
    if code in _PLAIN:
        return _PLAIN[code]
    match op:
        case UpsertHostname() | DeleteHostname() | SetHostnameTls() if code is Code.BAD_NAME:
            return "invalid_hostname"
        case UpsertTcpService() | DeleteTcpService():
            return _of_service(code, "tcp", getattr(op, "listen_port", None))
        case UpsertUdpService() | DeleteUdpService():
            return _of_service(code, "udp", getattr(op, "listen_port", None))
        case _:
            return code.word


def _of_service(code: Code, protocol: str, port: int | None) -> str:
    match code:
        case Code.BAD_NAME if port != 0:
            return f"invalid_{protocol}_service"
        case Code.BAD_NAME | Code.INVALID_REQUEST:
            return f"invalid_{protocol}_port"
        case Code.PORT_CONFLICT:
            return f"{protocol}_port_claimed"
        case _:
            return code.word
