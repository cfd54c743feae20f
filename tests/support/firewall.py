"""Firewall in front of an edge: it lets TCP pass until it is told otherwise, and UDP only once it is told to."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from typing import override

type Address = tuple[str, int]
SHORT_BYTES = 64  # as pings have
_RESET = struct.pack("ii", 1, 0)
_OF_ADMISSION = (
    2  # an edge's answer to a lane, and a PONG; an agent whose lanes are not admitted has none
)


class Firewall(asyncio.DatagramProtocol):
    """Firewall on one port of loopback.

    Args:
        edge_port: behind it.

    Attributes:
        passes_udp: whether datagrams pass.
        spoils: whether a byte is changed of all that the edge sends over TCP, but for the shortest frames.
        dropped: datagrams that did not.
        passes_tcp: whether new connections pass.
        refused: connections that did not.
    """

    def __init__(self, edge_port: int) -> None:
        self._edge = ("127.0.0.1", edge_port)
        self.passes_udp = self.spoils = False
        self.dropped = 0
        self.passes_tcp = True
        self.refused = 0
        self._agents: asyncio.DatagramTransport | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._newest: tuple[asyncio.StreamWriter, ...] = ()

    @contextlib.asynccontextmanager
    async def run(self, port: int) -> AsyncGenerator[None]:
        """Listen on a port of TCP and UDP for the time of the block."""
        loop = asyncio.get_running_loop()
        self._agents, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", port)
        )
        server = await asyncio.start_server(self._relay, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for transport in (self._agents, *self._ways.values()):
                transport.close()

    def cut(self) -> None:
        """Reset, on both sides, the lane by which the edge has sent something last for a client."""
        for writer in self._newest:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    @override
    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self.passes_udp:
            self.dropped += 1
        elif way := self._ways.get(addr):
            way.sendto(data)
        else:
            self._opening.add(asyncio.get_running_loop().create_task(self._open(data, addr)))

    async def _open(self, data: bytes, agent: Address) -> None:
        assert self._agents is not None
        loop, answers = asyncio.get_running_loop(), _Answers(self, self._agents, agent)
        way, _ = await loop.create_datagram_endpoint(lambda: answers, remote_addr=self._edge)
        self._ways[agent] = way
        way.sendto(data)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.passes_tcp:
            self.refused += 1
            writer.close()
            return
        with contextlib.suppress(OSError):
            from_edge, to_edge = await asyncio.open_connection(*self._edge)

            sent = 0

            def change(data: bytes) -> bytes:
                nonlocal sent
                sent += 1
                if sent > _OF_ADMISSION:
                    self._newest = writer, to_edge
                return _spoil(data) if self.spoils and len(data) > SHORT_BYTES else data

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(reader, to_edge))
                tasks.create_task(_pump(from_edge, writer, change))


class _Answers(asyncio.DatagramProtocol):
    """Answers of the edge to one agent."""

    def __init__(
        self, firewall: Firewall, agents: asyncio.DatagramTransport, agent: Address
    ) -> None:
        self._firewall, self._agents, self._agent = firewall, agents, agent

    @override
    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self._firewall.passes_udp:
            self._agents.sendto(data, self._agent)


def _spoil(data: bytes) -> bytes:
    """Change a byte in the middle, where the long frame is: short ones may be before it, or after it."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    change: Callable[[bytes], bytes] = lambda data: data,
) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(change(data))
                await writer.drain()
    finally:
        writer.close()
