"""Options of the relay's TCP sockets; those of a listener are inherited by what it accepts."""

import socket
import struct
from typing import Final

WINDOW_BYTES: Final = 4 * 1024 * 1024  # kernel buffers are memory, too
NOTSENT_BYTES: Final = 256 * 1024
_KEEPALIVE_IDLE_S: Final = 60
_KEEPALIVE_INTERVAL_S: Final = 15
_KEEPALIVE_PROBES: Final = 4
_ABORT: Final = struct.pack("ii", 1, 0)


def tune(sock: socket.socket, *, window_bytes: int = WINDOW_BYTES) -> None:
    """Set all that a socket of the relay has: a listener's, which clients inherit, or a lane's."""
    tune_short(sock)
    tune_lasting(sock, window_bytes=window_bytes)


def tune_short(sock: socket.socket) -> None:
    """Set what a connection needs from its first byte on: closed without more, it resets its peer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tune_lasting(sock: socket.socket, *, window_bytes: int = WINDOW_BYTES) -> None:
    """Set what a connection needs that lasts: keepalive, and bounds of the kernel's buffers."""
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(tcp, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(tcp, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(tcp, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
    sock.setsockopt(tcp, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)
    sock.setsockopt(tcp, socket.TCP_WINDOW_CLAMP, window_bytes)
