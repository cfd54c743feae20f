"""TLS to an origin: whose certificate is to be there, and why it was not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Of OpenSSL's `X509_V_ERR_…`, as Python's `verify_code` has them.
_OF_NAMES: Final = frozenset({62, 64})  # another name, another address
_OF_ISSUERS: Final = frozenset({2, 18, 19, 20, 21})  # unknown, or the certificate's own
_OF_TIMES: Final[Mapping[int, str]] = {
    9: "its certificate is not valid yet: compare the clocks of both machines",
    10: "its certificate has expired: renew it there",
}
NO_PROTOCOL: Final = "no application protocol"  # RFC 7301 §3.2
_NO_PROTOCOL_FIX: Final = "it does not speak what the client does (ALPN): it has to speak HTTP/1.1, and HTTP/2 as well where http2 is set"


@dataclass(frozen=True, slots=True)
class OriginTls:
    """TLS to an origin, as its fields say it.

    Args:
        server_name: that is asked for, and that the certificate has to be for; or an address.
        ca: file of the authorities that may have issued it; None for those that the machine trusts.
        is_verified: whether anybody's certificate will not do.
    """

    server_name: str
    ca: str | None = None
    is_verified: bool = True


def describe_tls_failure(
    tls: OriginTls, reason: str, verify_code: int | None, *, proxied: bool
) -> str:
    """Return why there is no TLS with an origin, and what to do.

    Args:
        tls: that was wanted.
        reason: of OpenSSL, or of the system.
        verify_code: what is wrong with the certificate, if that is it.
        proxied: whether a PROXY header went before.
    """
    if verify_code is not None:
        return _describe_certificate(tls, reason, verify_code)
    if reason.endswith(NO_PROTOCOL):
        return _NO_PROTOCOL_FIX
    header = ", and read PROXY v2 before it" if proxied else ""
    return f"no handshake ({reason}): does it speak TLS 1.2 or 1.3 at this port{header}?"


def describe_ca_failure(tls: OriginTls, reason: str) -> str:
    """Return why there are no authorities to verify an origin by, and what to do."""
    rule = "a PEM file with the certificates of the origin's authorities, that this agent may read"
    return f"origin_ca {tls.ca} cannot be used ({reason}): it must be {rule}"


def _describe_certificate(tls: OriginTls, reason: str, verify_code: int) -> str:
    if verify_code in _OF_NAMES:
        fix = "set origin_server_name to a name that it is for"
        return f"its certificate is not for {tls.server_name}: {fix}"
    if verify_code in _OF_TIMES:
        return _OF_TIMES[verify_code]
    if verify_code not in _OF_ISSUERS:
        return f"its certificate is not accepted ({reason}): renew it there"
    if tls.ca is not None:
        return f"its certificate is of no authority of {tls.ca}: put its own into that file"
    fix = "name the PEM file of its authority in origin_ca"
    return f"its certificate is of no authority that is trusted here ({reason}): {fix}"
