"""Graceful close of a socket: a last record, and time for the client to read it."""

import asyncio
import contextlib
import socket

from towonel.runtime.sockets import wait_readable
from towonel.tunnel.sockets import END_ON_CLOSE, set_linger

LINGER_BYTES = 256 * 1024
READ_BYTES = 16 * 1024


async def close_gracefully(sock: socket.socket, alert: bytes, linger_s: float) -> None:
    """Send a last record, and close such that the client can read it.

    Closing while bytes are unread would send a reset, and that takes with it what the client has
    not read yet. So what still comes is read and dropped, for `linger_s` seconds.
    """
    set_linger(sock, END_ON_CLOSE)
    with contextlib.suppress(OSError):
        if alert:
            sock.send(alert)  # the first bytes on this socket: there is room
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(linger_s):
            await _discard(sock, LINGER_BYTES)


async def _discard(sock: socket.socket, most_bytes: int) -> None:
    while most_bytes > 0:
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            await wait_readable(sock)
            continue
        if not data:
            return
        most_bytes -= len(data)
