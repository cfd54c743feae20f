"""Kernel buffers of sockets: how large they may be, and what is in them."""

import array
import asyncio
import contextlib
import fcntl
import socket
import termios
from pathlib import Path
from typing import Final

import pytest

from towonel.relay.sockets import RECEIVE_BYTES

SO_RCVBUFFORCE: Final = 33  # of Linux; Python has no name for it
GROWN_BYTES: Final = 32 * 1024 * 1024  # as far as one grows by default since Linux 6.17
_CHUNK: Final = bytes(256 * 1024)
_QUIET_S: Final = 0.3


def grow_receive_buffer(sock: socket.socket) -> None:
    """Let a receive buffer be as large as those of readers that were fast for long."""
    if int(Path("/proc/sys/net/core/rmem_max").read_text()) < RECEIVE_BYTES // 2:
        pytest.skip("net.core.rmem_max is too low: no buffer is bounded")
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, GROWN_BYTES // 2)  # it is doubled
    except PermissionError:
        pytest.skip("the tests are not root: no buffer can be grown at will")


def receive_buffer_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def count_unread(sock: socket.socket) -> int:
    """Return the bytes that wait to be received."""
    return _ask(sock, termios.FIONREAD)


def count_unsent(sock: socket.socket) -> int:
    """Return the bytes that the peer has not acknowledged yet."""
    return _ask(sock, termios.TIOCOUTQ)


async def fill(sock: socket.socket) -> None:
    """Send until the peer has taken nothing more for a while; the socket is non-blocking."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(_QUIET_S):
                await loop.sock_sendall(sock, _CHUNK)


def _ask(sock: socket.socket, request: int) -> int:
    answer = array.array("i", [0])
    fcntl.ioctl(sock, request, answer)
    return answer[0]
