"""TCP sockets of the relay: how they come about, and their options.

Those of a listener are inherited by what it accepts. A socket is one of the `_socket` module, whose class in
Python, `socket.socket`, looks its family and type up in enums each time that one is made.
"""

import contextlib
import socket
import struct
from functools import cache
from socket import SocketType
from typing import Final

from towonel.relay.hop.choice import Hop, SocketName

# As Linux lets one buffer grow by default before 6.17; 32 MiB since.
RECEIVE_BYTES: Final = 6 * 1024 * 1024
NOTSENT_BYTES: Final = 256 * 1024  # kernel buffers are memory, too
_KEEPALIVE_IDLE_S: Final = 60
_KEEPALIVE_INTERVAL_S: Final = 15
_KEEPALIVE_PROBES: Final = 4
_LANE_KEEPALIVE: Final = (
    20,
    5,
    3,
)  # the same of a lane: 35 s in all, as for PING and PONG of an idle one
_ABORT: Final = struct.pack("ii", 1, 0)
_NO_LINGER: Final = struct.pack("ii", 0, 0)
_IPV6_PARTS: Final = 4  # of the name of a socket
_IPV4: Final = int(socket.AF_INET)
_IPV6: Final = int(socket.AF_INET6)
_STREAM: Final = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)


def accept(listener: socket.socket, hop: Hop | None) -> tuple[SocketType, SocketName]:
    """Return the next connection of a listener, both non-blocking, and the name of its peer.

    Raises:
        OSError: as of accept (2); BlockingIOError if there is none.
    """
    if hop is None:
        sock, peer = listener.accept()
        sock.setblocking(False)
        return sock, peer
    descriptor, name = hop.accept(listener.fileno())
    return SocketType(_find_family(name), _STREAM, 0, descriptor), name


def connect(address: SocketName, hop: Hop | None) -> SocketType:
    """Return a socket that is connecting to an address, or connected, with the options of `tune_short`.

    Raises:
        OSError: there is no descriptor left, or the kernel refused at once.
    """
    family = _find_family(address)
    if hop is not None and "%" not in address[0]:  # an interface, whose number is to be looked up
        return SocketType(family, _STREAM, 0, hop.connect(address, NOTSENT_BYTES))
    sock = SocketType(family, _STREAM)
    try:
        tune_short(sock)
        with contextlib.suppress(BlockingIOError):  # it is under way
            sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _find_family(name: SocketName) -> int:
    return _IPV6 if len(name) == _IPV6_PARTS else _IPV4


def tune(sock: SocketType) -> None:
    """Set all that a socket of the relay has: a listener's, which clients inherit, or a lane's."""
    tune_short(sock)
    tune_lasting(sock)


def tune_short(sock: SocketType) -> None:
    """Set what a connection needs from its first byte on.

    Closed without more, as by the end of its process, it resets its peer: that must not look like the end of
    an answer.
    """
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
    sock.setsockopt(tcp, socket.TCP_NOTSENT_LOWAT, NOTSENT_BYTES)


def tune_lasting(sock: SocketType) -> None:
    """Set what a connection needs that lasts: keepalive."""
    tcp = socket.IPPROTO_TCP
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(tcp, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(tcp, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(tcp, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def tune_lane(sock: SocketType) -> None:
    """Have an end of a lane notice sooner that the other is gone: a client waits there, and may have nothing to send."""
    tcp = socket.IPPROTO_TCP
    idle_s, interval_s, probes = _LANE_KEEPALIVE
    sock.setsockopt(tcp, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(tcp, socket.TCP_KEEPINTVL, interval_s)
    sock.setsockopt(tcp, socket.TCP_KEEPCNT, probes)


def end_on_close(sock: SocketType, hop: Hop | None = None) -> None:
    """Let a close end the bytes in order, which the kernel delivers, and not reset the peer.

    Raises:
        OSError: the connection is gone.
    """
    if hop is not None:
        hop.end_on_close(sock.fileno())
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def bound_receive_buffer(sock: SocketType) -> bool:
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
