"""Sockets: binding them, and whether the peer of one is still there."""

import select
import socket

from towonel.tunnel.tcp_keepalive import keep_alive

HANG_UP = select.POLLRDHUP | select.POLLHUP | select.POLLERR


def bind_sockets(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` sockets bound to one address, which another process may share.

    A socket takes no share of the clients before it listens.

    Port 0 takes one free port for all. `::` takes IPv4 too.

    Raises:
        OSError: the address is not this machine's, or another program has it exclusively.
    """
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(_bind_socket(host, port))
            port = sockets[0].getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keep_alive(sock)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def has_hung_up(sock: socket.socket) -> bool:
    """Whether the peer sends no more, even if some of what it sent is still unread."""
    poll = select.poll()
    poll.register(sock, HANG_UP)
    return bool(poll.poll(0))
