"""Origins of UDP services: one that answers as it is told, and dnsmasq, which knows a name of many addresses."""

import asyncio
import contextlib
import getpass
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from support.ports import free_port
from support.tcp_origins import running_server

MAX_DATAGRAM_BYTES = 65_507  # of IPv4: what UDP can carry
SMALL_NAME, BIG_NAME = "small.example.eu", "big.example.eu"
BIG_ADDRESSES = frozenset(
    f"2001:db8::{number:x}" for number in range(1, 101)
)  # 2.8 KB of an answer

type Peer = tuple[str, int]
type Answer = Callable[[bytes], Iterable[bytes]]


def echo(data: bytes) -> tuple[bytes, ...]:
    """Answer a datagram with the same one."""
    return (data,)


@dataclass
class UdpOrigin:
    """Origin that answers each datagram with others, and keeps what it got, by the client."""

    sock: socket.socket
    answer: Answer = echo
    received: dict[Peer, list[bytes]] = field(default_factory=dict[Peer, list[bytes]])

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return int(self.sock.getsockname()[1])

    async def serve(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            data, peer = await loop.sock_recvfrom(self.sock, MAX_DATAGRAM_BYTES)
            self.received.setdefault(peer, []).append(data)
            for reply in self.answer(data):
                await loop.sock_sendto(self.sock, reply, peer)


@contextlib.asynccontextmanager
async def udp_origin(
    answer: Answer = echo, address: tuple[str, int] | None = None
) -> AsyncIterator[UdpOrigin]:
    """Run such an origin on loopback; its port is not taken on TCP either, unless an address is given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(address or ("127.0.0.1", free_port()))
        origin = UdpOrigin(sock, answer)
        serving = asyncio.create_task(origin.serve())
        yield origin
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@dataclass(frozen=True)
class UdpClient:
    """Client of one port: its socket is connected, so that it hears of nobody else."""

    sock: socket.socket

    async def send(self, data: bytes) -> None:
        """Send a datagram."""
        await asyncio.get_running_loop().sock_sendto(self.sock, data, self.sock.getpeername())

    async def receive(self, within_s: float = 10.0) -> bytes:
        """Return the next datagram, or raise TimeoutError."""
        async with asyncio.timeout(within_s):
            return await asyncio.get_running_loop().sock_recv(self.sock, MAX_DATAGRAM_BYTES)

    async def ask(self, data: bytes, within_s: float = 10.0) -> bytes:
        """Send a datagram, and return the next one that comes."""
        await self.send(data)
        return await self.receive(within_s)

    async def drain(self, quiet_s: float = 1.0) -> list[bytes]:
        """Return all datagrams, until none has come for so long."""
        found: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(await self.receive(quiet_s))
        return found


FLOOD_BYTES, FLOOD_AT_ONCE, FLOOD_S = 1200, 8, 0.004  # 19 megabits a second, and their echoes


@dataclass
class Flood:
    """Client that sends far more than may pass, to an origin that echoes.

    Attributes:
        passed: bytes that have come to the origin, and back.
    """

    client: UdpClient
    origin: UdpOrigin
    _echoed: int = 0

    @property
    def passed(self) -> int:
        received = self.origin.received.values()
        return self._echoed + sum(len(data) for each in received for data in each)

    async def send(self) -> None:
        """Send until cancelled."""
        while True:
            for _ in range(FLOOD_AT_ONCE):
                await self.client.send(bytes(FLOOD_BYTES))
            await asyncio.sleep(FLOOD_S)

    async def receive(self) -> None:
        """Count what comes back, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._echoed += len(await loop.sock_recv(self.client.sock, MAX_DATAGRAM_BYTES))


@contextlib.contextmanager
def udp_client(port: int, host: str = "127.0.0.1") -> Generator[UdpClient]:
    """Return a client of a port of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((host, port))
        yield UdpClient(sock)


async def is_answered(port: int, host: str = "127.0.0.1") -> bool:
    """Whether an origin of echoes behind a port answers now."""
    with udp_client(port, host) as client, contextlib.suppress(OSError, TimeoutError):
        return await client.ask(b"ping", within_s=0.5) == b"ping"
    return False


@contextlib.asynccontextmanager
async def dns_server(folder: Path) -> AsyncIterator[int]:
    """Run a dnsmasq that knows two names, and return its port."""
    hosts = folder / "hosts"
    lines = [f"192.0.2.1 {SMALL_NAME}", *(f"{address} {BIG_NAME}" for address in BIG_ADDRESSES)]
    hosts.write_text("\n".join(lines) + "\n")
    port, user = free_port(), getpass.getuser()
    own = ("--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", f"--user={user}", "--pid-file=")
    where = (f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces")
    command = ("--keep-in-foreground", "--conf-file=/dev/null", "--edns-packet-max=8192")
    async with running_server("dnsmasq", port, *command, *own, *where):
        yield port
