"""Mapping of the ends of QUIC connections, TLS alerts among them, to our codes."""

from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription

from towonel.tunnel.core.close_reason import CloseReason
from towonel.wire.errors import Code

CERTIFICATE_ALERTS = frozenset(
    {
        AlertDescription.bad_certificate,
        AlertDescription.unsupported_certificate,
        AlertDescription.certificate_revoked,
        AlertDescription.certificate_expired,
        AlertDescription.certificate_unknown,
        AlertDescription.unknown_ca,
        AlertDescription.decrypt_error,  # the certificate is right, the key behind it is not
    }
)
VERSION_ALERTS = frozenset(
    {
        AlertDescription.no_application_protocol,
        AlertDescription.handshake_failure,  # how aioquic answers an unknown ALPN
        AlertDescription.protocol_version,
    }
)
TRANSPORT_CODES: dict[int, Code] = {
    QuicErrorCode.FLOW_CONTROL_ERROR: Code.FLOW_CONTROL,
    QuicErrorCode.STREAM_LIMIT_ERROR: Code.UNEXPECTED_MESSAGE,
    QuicErrorCode.STREAM_STATE_ERROR: Code.UNEXPECTED_MESSAGE,
}
NO_COMMON_VERSION = "Could not find a common protocol version"  # aioquic gives it no number


def code_of(number: int) -> Code:
    """Return the code a peer sent; INTERNAL for a number that we do not know."""
    try:
        return Code(number)
    except ValueError:
        return Code.INTERNAL


def from_event(event: ConnectionTerminated) -> CloseReason:
    """Translate the end of a QUIC connection, of whichever cause.

    Source: RFC 9000 §20 (a transport close names a frame type, an application close does not).
    """
    if event.frame_type is None:
        return CloseReason(code_of(event.error_code), event.reason_phrase)
    detail = f"quic 0x{event.error_code:x} {event.reason_phrase}".strip()
    if event.error_code >= QuicErrorCode.CRYPTO_ERROR:
        return CloseReason(_code_of_alert(event.error_code - QuicErrorCode.CRYPTO_ERROR), detail)
    if (
        event.error_code == QuicErrorCode.VERSION_NEGOTIATION_ERROR
        or event.reason_phrase == NO_COMMON_VERSION
    ):
        return CloseReason(Code.UNSUPPORTED_VERSION, detail)
    return CloseReason(TRANSPORT_CODES.get(event.error_code, Code.SESSION_LOST), detail)


def _code_of_alert(alert: int) -> Code:
    if alert in CERTIFICATE_ALERTS:
        return Code.CERTIFICATE_MISMATCH
    if alert in VERSION_ALERTS:
        return Code.UNSUPPORTED_VERSION
    return Code.SESSION_LOST
