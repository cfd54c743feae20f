"""Sessions over TCP: what becomes of connections that workers found to begin one."""

import socket
from collections.abc import Callable

from towonel.edge.credentials import EdgeCredentials
from towonel.identity.certs import encode_private_key
from towonel.relay.tls.lane_tls import EdgeTls
from towonel.runtime.environment.memory_files import need_memory_file
from towonel.tunnel.listener import Listener
from towonel.wire.tcp import session_frames

type TakeSession = Callable[
    [socket.socket, tuple[str, int], bytes], None
]  # with address and first bytes


def make_session_taker(credentials: EdgeCredentials, listener: Listener) -> TakeSession:
    """Return what takes a connection for a session, under the certificate that QUIC has.

    Raises:
        GiveUp: there is no file in memory for it.
    """
    key_pem = encode_private_key(credentials.key)
    with need_memory_file("its certificate"):
        tls = EdgeTls(credentials.certificate_pem, key_pem, session_frames.ALPN)

    def take(sock: socket.socket, address: tuple[str, int], first: bytes) -> None:
        listener.take(tls.wrap(sock, first), address)

    return take
