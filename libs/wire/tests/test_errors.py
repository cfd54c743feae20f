"""Error codes: their numbers are on the wire, so they are frozen here."""

from towonel.wire.errors import Code, Denied, ProtocolError, TowonelError, Unavailable

FROZEN = {
    "NORMAL": 0x00, "INTERNAL": 0x01, "CANCELLED": 0x02, "DRAINING": 0x03,
    "MALFORMED": 0x10, "TOO_LARGE": 0x11, "UNSUPPORTED_VERSION": 0x12, "UNEXPECTED_MESSAGE": 0x13,
    "FLOW_CONTROL": 0x14, "HELLO_TIMEOUT": 0x15, "BAD_PREAMBLE": 0x16, "BAD_TOKEN": 0x17,
    "BAD_NAME": 0x18, "PREAMBLE_TIMEOUT": 0x19,
    "NOT_TLS": 0x20, "NO_SNI": 0x21, "BAD_SNI": 0x22, "HELLO_TOO_LARGE": 0x23, "BAD_HELLO": 0x24,
    "CLIENT_TIMEOUT": 0x25, "CLIENT_CLOSED": 0x26, "BAD_PROXY_HEADER": 0x27, "TLS_FAILED": 0x28,
    "UNAUTHORIZED": 0x30, "INVALID_SIGNATURE": 0x31, "CLOCK_SKEW": 0x32, "REPLAYED": 0x33,
    "GRANT_INVALID": 0x34, "GRANT_EXPIRED": 0x35, "GRANT_FOREIGN": 0x36, "TENANT_REVOKED": 0x37,
    "INVITE_EXPIRED": 0x38, "EDGE_UNKNOWN": 0x39, "CERTIFICATE_MISMATCH": 0x3A,
    "SUPERSEDED": 0x3B, "TENANT_NOT_ALLOWED": 0x3C, "HOSTNAME_NOT_OWNED": 0x3D,
    "HOSTNAME_CONFLICT": 0x3E, "PORT_CONFLICT": 0x3F, "INVALID_REQUEST": 0x40, "NOT_FOUND": 0x41,
    "SEQUENCE_CONFLICT": 0x42, "UNSUPPORTED_OP": 0x43, "RATE_LIMITED": 0x44,
    "LIMIT_EXCEEDED": 0x45, "FORBIDDEN": 0x46, "PRECONDITION_FAILED": 0x47,
    "IDEMPOTENCY_CONFLICT": 0x48, "QUOTA_EXCEEDED": 0x49, "TENANT_SUSPENDED": 0x4A,
    "METHOD_NOT_ALLOWED": 0x4B, "TOO_MANY_CONNECTIONS": 0x4C, "CLIENT_NOT_ALLOWED": 0x4D,
    "NO_ROUTE": 0x60, "NO_AGENT": 0x61, "NO_SERVICE": 0x62, "ORIGIN_REFUSED": 0x63,
    "ORIGIN_TIMEOUT": 0x64, "ORIGIN_UNREACHABLE": 0x65, "ORIGIN_RESET": 0x66,
    "SESSION_LOST": 0x67, "SESSION_SILENT": 0x68, "GOING_AWAY": 0x69, "OVERLOADED": 0x6A,
    "HUB_UNAVAILABLE": 0x6B,
    "WRONG_EDGE": 0x6C,
    "PORT_IN_USE": 0x6D,
    "PORT_UNAVAILABLE": 0x6E,
    "NO_CERTIFICATE": 0x6F, "ORIGIN_TLS_FAILED": 0x74,
}  # fmt: skip


def test_the_number_of_a_code_never_changes() -> None:
    assert {code.name: int(code) for code in Code} == FROZEN


def test_a_code_is_spelled_in_lower_case_everywhere() -> None:
    assert Code.NO_ROUTE.word == "no_route"


def test_an_error_says_its_code_and_its_detail() -> None:
    assert str(Denied(Code.GRANT_EXPIRED, "an hour ago")) == "grant_expired: an hour ago"
    assert str(ProtocolError(Code.NO_SNI)) == "no_sni"


def test_only_what_is_unavailable_says_when_to_come_back() -> None:
    error: TowonelError = Unavailable(Code.OVERLOADED, retry_after_s=2)

    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 2
