"""Origins of a group's agents: each says who it is, and answers checks as the test wants."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from support.tcp_origins import port_service


@dataclass
class CheckedOrigin:
    """Origin of a TCP service that says its name to each client, and answers checks by HTTP beside."""

    name: str
    is_healthy: bool = True
    port: int = 0
    check_port: int = 0

    async def serve(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.name.encode())
        await self._close(writer)

    async def answer_check(
        self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if self.is_healthy else b"HTTP/1.1 503 No\r\n\r\n")
        await self._close(writer)

    def service(self, port: int, **fields: object) -> dict[str, object]:
        """Return the service, on a public port, whose origin is checked each second."""
        address = f"127.0.0.1:{self.check_port}"
        check = {"type": "http", "origin": address, "interval_secs": 1, "rise": 1, "fall": 1}
        return {**port_service("who", self.port, port), "check": check, **fields}

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def checked_origin(name: str) -> AsyncIterator[CheckedOrigin]:
    """Run such an origin."""
    origin = CheckedOrigin(name)
    async with (
        await asyncio.start_server(origin.serve, "127.0.0.1", 0) as clients,
        await asyncio.start_server(origin.answer_check, "127.0.0.1", 0) as checks,
    ):
        origin.port = clients.sockets[0].getsockname()[1]
        origin.check_port = checks.sockets[0].getsockname()[1]
        yield origin


async def who_answers(port: int, clients: int = 1, host: str = "127.0.0.1") -> Counter[str]:
    """Return how many of some clients, one after another, each origin answers; those of none are under nothing."""
    found = Counter[str]()
    for _ in range(clients):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
        except OSError:
            found[""] += 1
            continue
        with contextlib.suppress(OSError):
            found[(await reader.read(100)).decode()] += 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return found
