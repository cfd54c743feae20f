"""First flight of a client, peeked at: the bytes stay on the socket.

They stay in the kernel until an upstream has taken them. SO_RCVLOWAT lets the kernel wake us only
when there is enough to go on, so a client that sends one byte at a time does not make us peek at
all of its bytes for each of them.
"""

import asyncio
import contextlib
import socket

from towonel.edge.listeners.sockets import has_hung_up
from towonel.runtime.sockets import wait_readable
from towonel.wire import clienthello, proxy
from towonel.wire.clienthello import ClientHello, Incomplete
from towonel.wire.errors import Code, Unavailable
from towonel.wire.proxy import ProxyHeader

FIRST_BYTES = 16 * 1024  # a ClientHello at its largest, and all that is kept for a retry
FREE_PEEKS = 16  # more than an ordinary client needs; then a pause before each further one
PEEK_PAUSE_S = 0.05
LINGER_BYTES = 256 * 1024


class FirstFlight:
    """Reader of a client's first bytes that peeks again only when more of them have arrived."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._peeks = 0

    async def read_proxy_header(self) -> ProxyHeader | None:
        """Take the PROXY v2 header that a trusted peer must begin with; None if it has no addresses.

        Raises:
            ProtocolError: BAD_PROXY_HEADER.
            Unavailable: CLIENT_CLOSED.
        """
        data = await self._peek(1)
        while (found := proxy.read(data)) is None:
            data = await self._peek(_header_length(data))
        header, length = found
        self.take(length)
        return header

    async def read_client_hello(self) -> tuple[ClientHello, bytes]:
        """Return the hello, and all bytes that have arrived, at most 16 KiB, the hello included.

        Raises:
            ProtocolError: what is wrong with it.
            Unavailable: CLIENT_CLOSED.
        """
        data = await self._peek(1)
        while isinstance(hello := clienthello.read(data), Incomplete):
            data = await self._peek(hello.needed)
        return hello, data

    def take(self, length: int) -> None:
        """Take bytes off the socket that were peeked at.

        Raises:
            Unavailable: CLIENT_CLOSED, a reset has thrown them away.
        """
        self._set_low_water(1)
        while length:
            data = self._receive(length)
            if not data:
                raise _client_closed_error("while taking bytes that were peeked at")
            length -= len(data)

    async def _peek(self, needed: int) -> bytes:
        """Return what has arrived, once that is `needed` bytes."""
        self._set_low_water(needed)
        while len(data := self._receive(FIRST_BYTES, socket.MSG_PEEK)) < needed:
            await wait_readable(self._sock)
            if has_hung_up(self._sock) and len(self._receive(needed, socket.MSG_PEEK)) < needed:
                raise _client_closed_error(f"after {len(data)} bytes or a few more")
            await self._pace()
        return data

    async def _pace(self) -> None:
        """Bound the work that a client can cause before its deadline."""
        self._peeks += 1
        if self._peeks > FREE_PEEKS:
            await asyncio.sleep(PEEK_PAUSE_S)

    def _receive(self, length: int, flags: int = 0) -> bytes:
        try:
            return self._sock.recv(length, flags)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            raise _client_closed_error(str(error)) from error

    def _set_low_water(self, length: int) -> None:
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, length)
        except OSError as error:
            raise _client_closed_error(str(error)) from error


async def close_gracefully(sock: socket.socket, alert: bytes, linger_s: float) -> None:
    """Send a last record, and close such that the client can read it.

    Closing while bytes are unread would send a reset, and that takes with it what the client has
    not read yet. So what still comes is read and dropped, for `linger_s` seconds.
    """
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if alert:
            sock.send(alert)  # the first bytes on this socket: there is room
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(linger_s):
            await _discard(sock, LINGER_BYTES)


async def _discard(sock: socket.socket, most_bytes: int) -> None:
    while most_bytes > 0:
        try:
            data = sock.recv(FIRST_BYTES)
        except BlockingIOError:
            await wait_readable(sock)
            continue
        if not data:
            return
        most_bytes -= len(data)


def _header_length(data: bytes) -> int:
    """Return the bytes of a PROXY header in all, or as many as it takes to know that."""
    fixed = len(proxy.SIGNATURE) + 4
    return fixed if len(data) < fixed else fixed + int.from_bytes(data[fixed - 2 : fixed])


def _client_closed_error(detail: str) -> Unavailable:
    return Unavailable(Code.CLIENT_CLOSED, detail)
