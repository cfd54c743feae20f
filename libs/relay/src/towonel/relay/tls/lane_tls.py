"""TLS of lanes and of sessions over TCP: version 1.3 only, the edge's own certificate, no resumption.

Either is told from a client's TLS by its protocol (ALPN) alone. The agent trusts the very certificate
that the session was opened under, by its hash, before it sends a byte of its own.
"""

import hashlib
import hmac
import ssl
from socket import SocketType

from towonel.relay.tls.certificate import load_certificate
from towonel.relay.tls.tls_memory import TlsMemory
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code, Denied
from towonel.wire.lane_admission import ALPN


class EdgeTls:
    """TLS of an edge.

    Args:
        certificate_pem: that sessions are opened under.
        key_pem: its private key.
        protocol: that is spoken inside.
    """

    def __init__(self, certificate_pem: str, key_pem: bytes, protocol: bytes = ALPN) -> None:
        self._memory = TlsMemory()
        self._context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _configure(context, protocol)
        context.num_tickets = 0
        load_certificate(context, certificate_pem.encode() + key_pem)

    def wrap(self, sock: SocketType, received: bytes) -> TlsSocket:
        """Return a connection, of which some bytes were read, as one inside TLS."""
        return TlsSocket(sock, self._context, self._memory, received=received)


class AgentTls:
    """TLS of an agent.

    Args:
        protocol: that is spoken inside.
    """

    def __init__(self, protocol: bytes = ALPN) -> None:
        self._protocol = protocol.decode()
        self._memory = TlsMemory()
        self._context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _configure(context, protocol)
        context.check_hostname = False  # who may be trusted is not a matter of names: see `check`
        context.verify_mode = ssl.CERT_NONE

    def wrap(self, sock: SocketType, server_name: str) -> TlsSocket:
        """Return a connection as one inside TLS; `check` follows its handshake."""
        return TlsSocket(sock, self._context, self._memory, server_name=server_name)

    def check(self, sock: TlsSocket, certificate_hash: bytes) -> None:
        """Check whom a handshake was with, which that end has proved.

        Raises:
            Denied: CERTIFICATE_MISMATCH, or UNSUPPORTED_VERSION for a server of other protocols.
        """
        found = hashlib.sha256(sock.certificate or b"").digest()
        if not hmac.compare_digest(found, certificate_hash):
            raise Denied(Code.CERTIFICATE_MISMATCH, "the certificate is not the edge's")
        if sock.protocol != self._protocol:
            raise Denied(Code.UNSUPPORTED_VERSION, f"the edge does not speak {self._protocol}")


def _configure(context: ssl.SSLContext, protocol: bytes) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([protocol.decode()])
