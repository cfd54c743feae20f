"""Sockets that clients connect to: bound by control, and shared by its workers."""

import socket
from typing import Final

from towonel.relay.sockets import tune
from towonel.runtime.sockets import accept_waiting

BACKLOG: Final = 1024  # connections the kernel keeps while workers are busy; somaxconn caps it


def bind_socket(host: str, port: int, *, is_shared: bool = True) -> socket.socket:
    """Return a socket bound to an address, which another process of this user may share.

    It takes no share of the clients before it listens. One that is not shared is nobody else's, and whoever has the
    address already keeps it alone. What it accepts has its options. Port 0 takes a
    free port. `::` takes IPv4 too.

    Raises:
        OSError: the address is not this machine's, or another program has it exclusively.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        tune(sock)  # a worker that dies is a reset for its clients, and no end of an answer
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen_on_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the port of a TCP service, and shares it with nobody.

    Else a service could have the port of the edge itself, or of another program, and a part of its clients.

    Raises:
        OSError: it cannot be had.
    """
    sock = bind_socket(host, port, is_shared=False)
    try:
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def take_waiting(sock: socket.socket) -> list[socket.socket]:
    """Close a listener, and return the connections that closing it would have reset."""
    waiting: list[socket.socket] = []
    accept_waiting(sock, waiting.append)
    sock.close()
    return waiting
