"""Flood of frames by strangers who begin sessions over TCP; a process of its own, with few imports."""

import contextlib
import select
import socket
import ssl
import sys
import time

from towonel.wire.tcp import session_frames
from towonel.wire.tcp.session_frames import PING_BYTES, SessionFrame

CONNECTIONS = 64
FLOOD_S = 3.0
PONGS = session_frames.encode(SessionFrame.PONG, bytes(PING_BYTES)) * 10_000


def connect(port: int, number: int) -> ssl.SSLSocket:
    """Begin a session as a stranger, of one of sixteen addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([session_frames.ALPN.decode()])
    source = f"127.0.5.{1 + number % 16}"
    sock = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
    return context.wrap_socket(sock, server_hostname="edge.example.eu")


def flood(port: int) -> None:
    """Send frames on many connections for some seconds, or as long as the edge takes them."""
    until = time.monotonic() + FLOOD_S
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(port, number)) for number in range(CONNECTIONS)]
        for sock in socks:
            sock.setblocking(False)
        while socks and time.monotonic() < until:
            for sock in select.select([], socks, [], 0.1)[1]:
                try:
                    sock.send(PONGS)
                except ssl.SSLWantWriteError:
                    pass
                except OSError:
                    socks.remove(sock)


if __name__ == "__main__":
    flood(int(sys.argv[1]))
