"""Uses of a flow through the tunnel: datagrams that may be lost, and of which both ends check each that comes.

datagram    number of the client (4) | its own number (4) | bytes of a stream of `support.byte_streams`
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator

from support.byte_streams import piece
from support.chaos.uses import Origin, WrongBytesError
from support.udp_origins import MAX_DATAGRAM_BYTES, UdpClient

SIZES = (20, 600, 1400, 5000)  # the last in pieces
PAUSE_S, AGAIN_S = 0.25, 0.5
_HEAD = struct.Struct(">II")


def make_datagram(client: int, number: int) -> bytes:
    """Return a datagram, which says by itself what it has to be."""
    body = piece(client, number, SIZES[number % len(SIZES)])
    return _HEAD.pack(client, number) + body


def read_datagram(data: bytes) -> tuple[int, int]:
    """Return both numbers of a datagram.

    Raises:
        WrongBytesError: nobody has sent it so.
    """
    if len(data) < _HEAD.size or make_datagram(*_HEAD.unpack_from(data)) != data:
        raise WrongBytesError(f"a datagram of {len(data)} bytes")
    client, number = _HEAD.unpack_from(data)
    return client, number


async def exchange(client: UdpClient, number: int, over: asyncio.Event) -> None:
    """Send a datagram now and then, which comes back or not; once it is over, one has to."""
    sent = 0
    while not over.is_set():
        await client.send(make_datagram(number, sent))
        await _take(client, number, PAUSE_S)
        sent += 1
    first = sent
    while await _take(client, number, AGAIN_S) < first:
        await client.send(make_datagram(number, sent))
        sent += 1


async def ask(client: UdpClient, number: int, over: asyncio.Event) -> None:
    """Send a datagram until it comes back."""
    await client.send(make_datagram(number, 0))
    while await _take(client, number, AGAIN_S) < 0:
        await client.send(make_datagram(number, 0))


async def _take(client: UdpClient, number: int, within_s: float) -> int:
    """Return the highest number that comes back in this time; -1 if none does."""
    highest = -1
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                of, found = read_datagram(await client.receive())
                if of != number:
                    raise WrongBytesError(f"a datagram of client {of} came to {number}")
                highest = max(highest, found)
    return highest


def listen() -> socket.socket:
    """Return a socket of UDP on loopback, of the namespace of this thread."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.asynccontextmanager
async def running_echo(sock: socket.socket, _: ssl.SSLContext | None) -> AsyncIterator[Origin]:
    """Echo what comes to a socket, and count what nobody has sent so."""
    origin = Origin(sock.getsockname()[1])
    with sock:
        echoing = asyncio.create_task(_echo(sock, origin))
        yield origin
        echoing.cancel()
        await asyncio.wait([echoing])


async def _echo(sock: socket.socket, origin: Origin) -> None:
    loop = asyncio.get_running_loop()
    while True:
        data, peer = await loop.sock_recvfrom(sock, MAX_DATAGRAM_BYTES)
        try:
            read_datagram(data)
        except WrongBytesError:
            origin.faults["wrong"] += 1
        await loop.sock_sendto(sock, data, peer)
