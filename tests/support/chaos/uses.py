"""Uses of a connection through the tunnel, at both ends, of which each checks every byte that it gets.

A client's first line says what it wants: `down NUMBER` and `up NUMBER` carry that stream of `support.byte_streams`, at a
pace; `echo` gets back what it sends, in messages of a fixed size; `name` gets the origin's.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from support.byte_streams import MIB, PIECE, piece
from support.clients import Streams

from towonel.runtime.sockets import abort_server

SIZE, STEP, STEP_S = MIB, 32_768, 0.1  # of a transfer, which takes three seconds by itself
MESSAGE_BYTES, MESSAGE_S = 600, 0.5
NAME = b"home\n"

type Use[Connection] = Callable[[Connection, int, asyncio.Event], Awaitable[None]]


class WrongBytesError(Exception):
    """Something else arrived than was sent."""


class EarlyEndError(EOFError):
    """A stream ended in order, before its end; and not before it began."""


async def download(streams: Streams, number: int, over: asyncio.Event) -> None:
    """Have the origin send a stream."""
    reader, writer = streams
    writer.write(f"down {number}\n".encode())
    await _receive(reader, number)


async def upload(streams: Streams, number: int, over: asyncio.Event) -> None:
    """Send the origin a stream, and have it say that all of it came."""
    reader, writer = streams
    writer.write(f"up {number}\n".encode())
    await _send(writer, number)
    if (answer := await reader.readline()) != b"whole\n":
        raise EOFError(answer)


async def echo(streams: Streams, number: int, over: asyncio.Event) -> None:
    """Send a message now and then, each of which comes back, until it is over."""
    reader, writer = streams
    writer.write(b"echo\n")
    at = 0
    while not over.is_set():
        message = piece(number, at, MESSAGE_BYTES)
        writer.write(message)
        if await reader.readexactly(MESSAGE_BYTES) != message:
            raise WrongBytesError(f"message at {at}")
        at += MESSAGE_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MESSAGE_S):
                await over.wait()


async def ask_name(streams: Streams, number: int, over: asyncio.Event) -> None:
    """Have the origin say its name."""
    reader, writer = streams
    writer.write(b"name\n")
    answer = await reader.read()
    if not NAME.startswith(answer):
        raise WrongBytesError(repr(answer))
    if answer != NAME:
        raise EOFError(answer)


@dataclass
class Origin:
    """Origin of these uses.

    Attributes:
        faults: how often a client's bytes were `wrong`, or ended in order though there were to be more (`short`).
    """

    port: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what a client asks for."""
        try:
            command, _, number = (await reader.readline()).decode().strip().partition(" ")
            await self._obey(command, int(number or 0), reader, writer)
        except WrongBytesError:
            self.faults["wrong"] += 1
            writer.transport.abort()
        except EarlyEndError:
            self.faults["short"] += 1
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _obey(
        self, command: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match command:
            case "down":
                await _send(writer, number)
            case "up":
                await _receive(reader, number)
                writer.write(b"whole\n")
            case "echo":
                while data := await reader.read(PIECE):
                    writer.write(data)
                    await writer.drain()
            case _:
                writer.write(NAME)


def listen() -> socket.socket:
    """Return a listening socket on loopback, of the namespace of this thread."""
    return socket.create_server(("127.0.0.1", 0))


@contextlib.asynccontextmanager
async def running_origin(
    listener: socket.socket, tls: ssl.SSLContext | None
) -> AsyncIterator[Origin]:
    """Serve the uses on a listening socket, of whichever namespace."""
    origin = Origin(listener.getsockname()[1])
    server = await asyncio.start_server(origin.serve, sock=listener, ssl=tls)
    try:
        yield origin
    finally:
        await abort_server(server)


async def _send(writer: asyncio.StreamWriter, number: int) -> None:
    for at in range(0, SIZE, STEP):
        writer.write(piece(number, at, STEP))
        await writer.drain()
        await asyncio.sleep(STEP_S)


async def _receive(reader: asyncio.StreamReader, number: int) -> None:
    at = 0
    while at < SIZE:
        data = await reader.read(min(PIECE, SIZE - at))
        if not data:
            raise EarlyEndError(f"after {at} bytes") if at else EOFError
        if data != piece(number, at, len(data)):
            raise WrongBytesError(f"after {at} bytes")
        at += len(data)
