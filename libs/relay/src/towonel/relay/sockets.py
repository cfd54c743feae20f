"""Options of the relay's TCP sockets; those of a listener are inherited by what it accepts."""

import socket
import struct
from functools import cache
from typing import Final

# As Linux lets one buffer grow by default before 6.17; 32 MiB since.
RECEIVE_BYTES: Final = 6 * 1024 * 1024
NOTSENT_BYTES: Final = 256 * 1024  # kernel buffers are memory, too
_KEEPALIVE_IDLE_S: Final = 60
_KEEPALIVE_INTERVAL_S: Final = 15
_KEEPALIVE_PROBES: Final = 4
_ABORT: Final = struct.pack("ii", 1, 0)
_NO_LINGER: Final = struct.pack("ii", 0, 0)


def tune(sock: socket.socket) -> None:
    """Set all that a socket of the relay has: a listener's, which clients inherit, or a lane's."""
    tune_short(sock)
    tune_lasting(sock)


def tune_short(sock: socket.socket) -> None:
    """Set what a connection needs from its first byte on.

    Closed without more, as by the end of its process, it resets its peer: that must not look like the end of
    an answer.
    """
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
    sock.setsockopt(tcp, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)


def tune_lasting(sock: socket.socket) -> None:
    """Set what a connection needs that lasts: keepalive."""
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(tcp, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(tcp, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(tcp, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def end_on_close(sock: socket.socket) -> None:
    """Let a close end the bytes in order, which the kernel delivers, and not reset the peer.

    Raises:
        OSError: the connection is gone.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def bound_receive_buffer(sock: socket.socket) -> bool:
    """Bound a receive buffer that has grown, and return whether that is done for good.

    The kernel lets it grow with the speed of its reader, up to `net.ipv4.tcp_rmem`, and a window that is
    clamped (TCP_WINDOW_CLAMP) grows along. A size that is set stays; set too early, it would be a size
    for connections whose buffers never grow. `net.core.rmem_max` may be too low for it.
    """
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= RECEIVE_BYTES:
        return False
    if _may_set_receive_bytes():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES // 2)  # it is doubled
    return True


@cache
def _may_set_receive_bytes() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES // 2)
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == RECEIVE_BYTES
