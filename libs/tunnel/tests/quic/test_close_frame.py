"""Codes for the ends of QUIC connections."""

import pytest
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

from towonel.tunnel.quic.close_frame import NO_COMMON_VERSION, code_of, from_event
from towonel.wire.errors import Code


@pytest.mark.parametrize(
    ("number", "frame_type", "reason", "code"),
    [
        (int(Code.TENANT_REVOKED), None, "", Code.TENANT_REVOKED),
        (9999, None, "", Code.INTERNAL),
        (
            QuicErrorCode.CRYPTO_ERROR + AlertDescription.unknown_ca,
            6,
            "",
            Code.CERTIFICATE_MISMATCH,
        ),
        (
            QuicErrorCode.CRYPTO_ERROR + AlertDescription.no_application_protocol,
            6,
            "",
            Code.UNSUPPORTED_VERSION,
        ),
        (QuicErrorCode.CRYPTO_ERROR + AlertDescription.internal_error, 6, "", Code.SESSION_LOST),
        (QuicErrorCode.VERSION_NEGOTIATION_ERROR, 6, "", Code.UNSUPPORTED_VERSION),
        (QuicErrorCode.INTERNAL_ERROR, 0, NO_COMMON_VERSION, Code.UNSUPPORTED_VERSION),
        (QuicErrorCode.INTERNAL_ERROR, 0, "Idle timeout", Code.SESSION_LOST),
        (QuicErrorCode.FLOW_CONTROL_ERROR, 8, "", Code.FLOW_CONTROL),
        (QuicErrorCode.STREAM_LIMIT_ERROR, 8, "", Code.UNEXPECTED_MESSAGE),
    ],
)
def test_every_end_of_a_connection_becomes_one_code(
    number: int, frame_type: int | None, reason: str, code: Code
) -> None:
    event = ConnectionTerminated(error_code=number, frame_type=frame_type, reason_phrase=reason)

    assert from_event(event).code is code


def test_a_number_that_is_not_ours_is_an_internal_error() -> None:
    assert code_of(int(Code.DRAINING)) is Code.DRAINING
    assert code_of(10**6) is Code.INTERNAL
