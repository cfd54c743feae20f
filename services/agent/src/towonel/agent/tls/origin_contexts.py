"""TLS contexts for origins, by whom their certificates may be from; made anew when a file of authorities changes."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towonel.agent.core.tls.origin_tls import (
    OriginTls,
    describe_ca_failure,
    describe_tls_failure,
)
from towonel.wire.errors import Code, Unavailable

LOOK_S: Final = 1.0  # between looks for a change of a file
MAX_CONTEXTS: Final = (
    64  # each has its authorities in memory, which are some MiB of all public ones
)

type _Stamp = tuple[int, int, int] | None  # of a file's content: it differs where that was changed


@dataclass(slots=True)
class _Known:
    context: ssl.SSLContext
    stamp: _Stamp
    look_at: float


class OriginContexts:
    """Contexts of one process."""

    def __init__(self) -> None:
        self._known: dict[
            tuple[str | None, bool, str | None], _Known
        ] = {}  # the last is the one used last

    def find(self, tls: OriginTls, now: float, protocol: str | None = None) -> ssl.SSLContext:
        """Return the context for an origin that is offered a protocol, at a time of the monotonic clock.

        A file that is gone, or has no certificate any more, changes nothing as long as this process runs.

        Raises:
            Unavailable: ORIGIN_TLS_FAILED where the file of its authorities cannot be used.
        """
        key = tls.ca, tls.is_verified, protocol
        known = self._known.pop(key, None)
        if known is None:
            known = _Known(_try_make_context(tls, protocol), _read_stamp(tls), now + LOOK_S)
        elif now >= known.look_at:
            _renew(known, tls, protocol, now)
        self._known[key] = known
        if len(self._known) > MAX_CONTEXTS:
            del self._known[next(iter(self._known))]
        return known.context


def describe_handshake_error(tls: OriginTls, error: OSError, *, proxied: bool) -> str:
    """Return why a handshake with an origin failed, and what to do; `proxied` if a PROXY header went before."""
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    return describe_tls_failure(tls, _describe(error), code, proxied=proxied)


def _describe(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)


def _renew(known: _Known, tls: OriginTls, protocol: str | None, now: float) -> None:
    """Make a context anew whose file has changed."""
    known.look_at = now + LOOK_S
    stamp = _read_stamp(tls)
    if stamp is None or stamp == known.stamp:
        return
    try:
        known.context = _make_context(tls, protocol)
    except OSError:
        return  # it is being written, as a rule, and looked at again
    known.stamp = stamp


def _read_stamp(tls: OriginTls) -> _Stamp:
    path = (
        tls.ca or ssl.get_default_verify_paths().cafile
    )  # which SSL_CERT_FILE names, if there is one
    if not path or not tls.is_verified:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _try_make_context(tls: OriginTls, protocol: str | None) -> ssl.SSLContext:
    try:
        return _make_context(tls, protocol)
    except OSError as error:
        reason = describe_ca_failure(tls, _describe(error))
        raise Unavailable(Code.ORIGIN_TLS_FAILED, reason) from None


def _make_context(tls: OriginTls, protocol: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if protocol is not None:
        context.set_alpn_protocols([protocol])
    if not tls.is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        context.load_default_certs()
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may name the very certificate
        context.load_verify_locations(tls.ca)
    return context
