"""Certificates of a worker, by exact name, and the TLS contexts that are made of them when a client comes.

HTTP/2 is offered with certificates that are for one name alone. With others, a client may ask for each of their names
on the connection that it has for one (RFC 9113 §9.1.1), and these can lead elsewhere, today or as soon as a route changes:
no edge looks into what is relayed to answer 421 then.
"""

import ssl
from typing import Final

from towonel.relay.tls.certificate import load_certificate
from towonel.wire.names import Hostname
from towonel.wire.preamble import HTTP_1, HTTP_2

MAX_CONTEXTS: Final = 1024  # of some 50 KiB each; others are made anew when a client comes
# Forward secrecy and authenticated encryption only; those of TLS 1.3 are not named here.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
CHALLENGE: Final = b"acme-tls/1"


class Certificates:
    """Certificates of one worker.

    Args:
        gives_tickets: whether sessions may be resumed: one worker does not know another's tickets.
        max_contexts: that are kept.
    """

    def __init__(self, *, gives_tickets: bool, max_contexts: int = MAX_CONTEXTS) -> None:
        self._gives_tickets = gives_tickets
        self._max_contexts = max_contexts
        self._pems: dict[str, bytes] = {}
        self._exclusive: set[str] = set()  # names whose certificates are for no other
        self._contexts: dict[
            tuple[str, bool], ssl.SSLContext
        ] = {}  # by whether HTTP/2 is offered; the last is the one used last
        self._challenges: dict[str, bytes] = {}

    def load(self, name: str, pem: bytes, *, is_exclusive: bool = False) -> None:
        """Have a certificate, empty for none; clients that are connected go on."""
        for http2 in (False, True):
            self._contexts.pop((name, http2), None)
        self._pems.pop(name, None)
        self._exclusive.discard(name)
        if pem:
            self._pems[name] = pem
        if is_exclusive:
            self._exclusive.add(name)

    def load_challenge(self, name: str, pem: bytes) -> None:
        """Have the certificate that answers the challenge of a name, empty for none."""
        self._challenges.pop(name, None)
        if pem:
            self._challenges[name] = pem

    def find(self, name: Hostname, *, http2: bool) -> ssl.SSLContext | None:
        """Return the context of a name, if there is a certificate for it; `http2` if its origins speak that, too.

        Raises:
            OSError: the certificate cannot be used.
        """
        key = name, http2 and name in self._exclusive
        context = self._contexts.pop(key, None)
        if context is None:
            pem = self._pems.get(name)
            if pem is None:
                return None
            context = self._make(pem, http2=key[1])
        self._contexts[key] = context
        if len(self._contexts) > self._max_contexts:
            del self._contexts[next(iter(self._contexts))]
        return context

    def find_challenge(self, name: Hostname) -> ssl.SSLContext | None:
        """Return the context for the challenge of a name, if one is pending."""
        pem = self._challenges.get(name)
        if pem is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.num_tickets = 0
        context.set_alpn_protocols([CHALLENGE.decode()])
        load_certificate(context, pem)
        return context

    def _make(self, pem: bytes, *, http2: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 1 if self._gives_tickets else 0  # of TLS 1.3
        if not self._gives_tickets:
            context.options |= ssl.OP_NO_TICKET
        context.set_alpn_protocols([HTTP_2, HTTP_1] if http2 else [HTTP_1])
        load_certificate(context, pem)
        return context
