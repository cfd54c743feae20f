"""Edge that takes sessions over TCP, and agents that dial it so."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from functools import partial

from support.tls_lanes import NAME, client_context
from support.tunnel import EDGE, IDENTITY, PEM, SERVICE, ListeningEdge, grant_of, new_key

from towonel.identity.certs import encode_private_key
from towonel.identity.keys import NodeKey
from towonel.relay.tls.lane_tls import AgentTls, EdgeTls
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.tunnel.core.handshake import AgentHandshake
from towonel.tunnel.core.timing import Timing
from towonel.tunnel.link import Link
from towonel.tunnel.quic.udp import Address
from towonel.tunnel.tcp.dial import dial_by_tcp
from towonel.tunnel.tcp.secure_socket import SecurePeer
from towonel.wire.tcp import session_frames

SHORT = Timing(hello_s=0.5, welcome_s=1.0, agent_keepalive_s=0.1, edge_keepalive_s=0.1, idle_s=0.5)


@dataclass
class TcpEdge:
    """Listening edge, and the TCP port where it takes sessions."""

    edge: ListeningEdge
    server: socket.socket
    taken: list[TlsSocket] = field(default_factory=list[TlsSocket])

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.server.getsockname()
        return host, port

    async def take_all(self) -> None:
        """Take connections for sessions, as a worker hands them over."""
        tls = EdgeTls(PEM, encode_private_key(EDGE), session_frames.ALPN)
        while True:
            sock, address = await asyncio.get_running_loop().sock_accept(self.server)
            self.taken.append(tls.wrap(sock, b""))
            self.edge.listener.take(self.taken[-1], address)

    def dial(
        self, key: NodeKey | None = None, timing: Timing = SHORT, pin: bytes = b""
    ) -> contextlib.AbstractAsyncContextManager[Link]:
        """Dial it as an agent, which trusts the certificate with the hash `pin`."""
        tls, key = AgentTls(session_frames.ALPN), key or new_key()

        async def connect(address: Address) -> SecurePeer:
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)
            secure = tls.wrap(sock, NAME)
            return SecurePeer(
                secure, partial(tls.check, secure, pin or IDENTITY.certificate_sha256)
            )

        handshake = AgentHandshake(key, grant_of(key), [SERVICE], "test")
        return dial_by_tcp([self.address], IDENTITY, handshake, connect, timing)

    def connect(self) -> ssl.SSLSocket:
        """Connect as a stranger."""
        sock = socket.create_connection(self.address, timeout=20)
        context = client_context(session_frames.ALPN.decode())
        return context.wrap_socket(sock, server_hostname=NAME)
