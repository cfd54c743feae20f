"""TLS clients of the tests: Python's ssl over streams, and commands that people use."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it verifies, and trusts nobody

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Client:
    """A TLS client that dials the edge and asks for a hostname."""

    edge_port: int
    context: ssl.SSLContext
    hostname: str

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.edge_port, ssl=self.context, server_hostname=self.hostname
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, command: str, payload: bytes = b"") -> bytes:
        """Send one command to a `CommandOrigin`, and return all it answers."""
        async with self.connect() as (reader, writer):
            writer.write(command.encode() + b"\n" + payload)
            await writer.drain()
            return await reader.read(-1)

    async def get(self, path: str = "/") -> bytes:
        """One HTTP/1.1 request on a connection of its own; the body of a 200 answer."""
        async with self.connect() as streams:
            return await request(streams, self.hostname, path)

    async def reaches_home(self) -> bool:
        """Whether the `CommandOrigin` named home answers it now."""
        try:
            return await self.ask("name") == b"home\n"
        except (OSError, EOFError):
            return False

    async def has_page(self) -> bool:
        """Whether it gets the page of `Nginx` now."""
        try:
            return await self.get() == b"hello from home\n"
        except (OSError, EOFError):
            return False


async def request(streams: Streams, hostname: str, path: str = "/") -> bytes:
    """One keep-alive HTTP/1.1 request on an open connection."""
    reader, writer = streams
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {hostname}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    if not head.startswith("http/1.1 200"):
        raise AssertionError(head)
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return await reader.readexactly(length)


async def run(*command: str, stdin: bytes | None = None, within_s: float = 20.0) -> tuple[int, str]:
    """Run a command; its exit code and what it wrote to both outputs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within_s):
            output, _ = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


async def curl(client: Client, ca_file: str, path: str = "/", *options: str) -> tuple[int, str]:
    address = f"{client.hostname}:{client.edge_port}:127.0.0.1"
    url = f"https://{client.hostname}:{client.edge_port}{path}"
    return await run(
        *("curl", "-sS", "--max-time", "15", "--cacert", ca_file, "--resolve", address),
        *options,
        url,
    )


def client_hello(hostname: str) -> bytes:
    """The first flight of a real TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = CLIENT.wrap_bio(incoming, outgoing, server_hostname=hostname)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def early_hello(hostname: str) -> bytes:
    """The same of a client that says that requests follow at once (RFC 8446 §4.2.10)."""
    hello = bytearray(client_hello(hostname) + b"\x00\x2a\x00\x00")
    at = 43 + 1 + hello[43]  # after the session id
    at += 2 + int.from_bytes(hello[at : at + 2])
    at += 1 + hello[at]
    for start, size in ((3, 2), (6, 3), (at, 2)):
        length = int.from_bytes(hello[start : start + size]) + 4
        hello[start : start + size] = length.to_bytes(size)
    return bytes(hello)


async def alert_of(port: int, sent: bytes, within_s: float = 15.0) -> bytes:
    """Send bytes to the edge, and return all it says before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(within_s):
            return await reader.read(-1)
    finally:
        writer.transport.abort()
