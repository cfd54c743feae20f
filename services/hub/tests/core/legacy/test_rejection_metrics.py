"""Reasons of refusals in the original's words (inventory §10)."""

import pytest

from towonel.hub.core.legacy.rejection_metrics import reason_of
from towonel.wire.errors import Code
from towonel.wire.ids import AgentId
from towonel.wire.legacy.ops import (
    DeleteHostname,
    DeleteTcpService,
    DeleteUdpService,
    Op,
    SetHostnameTls,
    UpsertAgent,
    UpsertHostname,
    UpsertTcpService,
    UpsertUdpService,
)
from towonel.wire.routes import TlsMode

HOST, TCP, UDP = UpsertHostname("a.eu"), UpsertTcpService("a", 5), UpsertUdpService("a", 5)


@pytest.mark.parametrize(
    ("code", "op", "wanted"),
    [
        (Code.MALFORMED, None, "invalid_cbor"),
        (Code.TOO_LARGE, None, "invalid_cbor"),
        (Code.TENANT_NOT_ALLOWED, HOST, "tenant_not_allowed"),
        (Code.TENANT_REVOKED, TCP, "tenant_not_allowed"),
        (Code.INVALID_SIGNATURE, HOST, "invalid_signature"),
        (Code.UNSUPPORTED_OP, None, "unsupported_op"),
        (Code.UNSUPPORTED_VERSION, None, "unsupported_version"),
        (Code.BAD_NAME, HOST, "invalid_hostname"),
        (Code.BAD_NAME, DeleteHostname("a"), "invalid_hostname"),
        (Code.BAD_NAME, SetHostnameTls("a", TlsMode.TERMINATE), "invalid_hostname"),
        (Code.HOSTNAME_NOT_OWNED, HOST, "hostname_not_owned"),
        (Code.BAD_NAME, TCP, "invalid_tcp_service"),
        (Code.BAD_NAME, DeleteTcpService(""), "invalid_tcp_service"),
        (Code.BAD_NAME, UpsertTcpService("a", 0), "invalid_tcp_port"),
        (Code.INVALID_REQUEST, TCP, "invalid_tcp_port"),
        (Code.PORT_CONFLICT, TCP, "tcp_port_claimed"),
        (Code.BAD_NAME, UDP, "invalid_udp_service"),
        (Code.BAD_NAME, DeleteUdpService(""), "invalid_udp_service"),
        (Code.BAD_NAME, UpsertUdpService("a", 0), "invalid_udp_port"),
        (Code.INVALID_REQUEST, UDP, "invalid_udp_port"),
        (Code.PORT_CONFLICT, UDP, "udp_port_claimed"),
        (Code.SEQUENCE_CONFLICT, TCP, "sequence_conflict"),
        (Code.HUB_UNAVAILABLE, UDP, "internal"),
        # What the original does not know keeps the word of its code.
        (Code.TENANT_SUSPENDED, HOST, "tenant_suspended"),
        (Code.HOSTNAME_CONFLICT, HOST, "hostname_conflict"),
        (Code.INVALID_REQUEST, UpsertAgent(AgentId(bytes(32))), "invalid_request"),
    ],
)
def test_a_refusal_is_counted_in_the_original_s_words(
    code: Code, op: Op | None, wanted: str
) -> None:
    assert reason_of(code, op) == wanted
