"""PROXY header of an origin: its bytes, and whether it was not read, told by how a connection ends."""

from towonel.wire import proxy
from towonel.wire.names import ServiceKind
from towonel.wire.preamble import Preamble
from towonel.wire.proxy import ProxyHeader

TLS_ALERT, TLS_HANDSHAKE = 0x15, 0x16  # RFC 8446 §5.1
ALERT_BYTES = 7  # a record header, the level and the description
# What TLS servers say to bytes that are no ClientHello: unexpected_message, record_overflow, decode_error
# and protocol_version (RFC 8446 §6). Other alerts are about a ClientHello that was read.
_NOT_TLS = frozenset({10, 22, 50, 70})
SOON_S = 5.0  # an origin that ends later had something else in mind


def encode_proxy_header(preamble: Preamble) -> bytes:
    """Return the header that tells an origin of a client."""
    tlvs = ((proxy.TLV_AUTHORITY, preamble.authority.encode()),) if preamble.authority else ()
    return proxy.encode(ProxyHeader(preamble.source, preamble.destination, tlvs))


def is_unread(kind: ServiceKind, answer: bytes, after_s: float) -> bool:
    """Tell whether an origin that ended its connection probably took the PROXY header for something else.

    Args:
        kind: of the service. What an origin says that speaks no TLS is its own affair: silence alone tells.
        answer: its first bytes, seven at least if there were as many.
        after_s: between the header and the end.
    """
    if after_s > SOON_S:
        return False
    if kind is not ServiceKind.HTTPS:
        return not answer
    if answer.startswith(bytes([TLS_ALERT])):
        return len(answer) < ALERT_BYTES or answer[ALERT_BYTES - 1] in _NOT_TLS
    return not answer.startswith(bytes([TLS_HANDSHAKE]))  # nothing at all, or an error in HTTP
