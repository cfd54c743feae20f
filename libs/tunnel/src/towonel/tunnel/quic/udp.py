"""UDP endpoint on the event loop: many datagrams a wake-up, none queued if the kernel is full."""

import asyncio
import os
import socket
from collections.abc import Callable

type Address = tuple[str, int] | tuple[str, int, int, int]
type OnDatagram = Callable[[bytes, Address], None]

BUFFER_BYTES = 4 * 1024 * 1024  # a burst that arrives while Python is busy elsewhere; best effort
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; Python does not name them
MAX_DATAGRAM_BYTES = 9216  # a jumbo frame; QUIC peers send 1200 to 1452
BATCH_DATAGRAMS = 64  # per wake-up, so that timers and other sockets get their turn


class Endpoint:
    """UDP endpoint: receives into a callback, sends without waiting.

    A datagram the kernel does not take is dropped: QUIC sends it again, and a queue here would be
    one more buffer without a bound.
    """

    def __init__(self, sock: socket.socket, on_datagram: OnDatagram) -> None:
        self._sock = sock
        self._on_datagram = on_datagram
        self._loop = asyncio.get_running_loop()
        self.resume()

    @property
    def port(self) -> int:
        port: int = self._sock.getsockname()[1]
        return port

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram, or lose it: a network error says nothing about the next one."""
        try:
            self._sock.sendto(data, address)
        except OSError:
            return

    def pause(self) -> None:
        """Receive nothing until `resume`: another process reads the same socket, or nobody does."""
        self._loop.remove_reader(self._sock.fileno())

    def resume(self) -> None:
        """Receive again."""
        self._loop.add_reader(self._sock.fileno(), self._receive_batch)

    def duplicate(self) -> int:
        """Return another descriptor of the socket."""
        return os.dup(self._sock.fileno())

    def close(self) -> None:
        """Stop receiving and free the port. Idempotent."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _receive_batch(self) -> None:
        for _ in range(BATCH_DATAGRAMS):
            try:
                data, address = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:  # drained, closed by a callback, or an ICMP error of an earlier send
                return
            self._on_datagram(data, address)


async def resolve(host: str, port: int) -> Address:
    """Return the first address of `host`; an address literal needs no resolver.

    Raises:
        OSError: the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    address: Address = infos[0][4]  # type: ignore[assignment]  # ours are internet families
    return address


def bound_socket(address: Address, *, is_shared: bool = False) -> socket.socket:
    """Return a non-blocking socket bound to `address`; `::` takes IPv4 too.

    Nobody else has the port: the kernel would hand another process half of our sessions. One that is shared lets
    more sockets of this user have it from now on.

    Raises:
        OSError: the address is not ours or taken.
    """
    sock = _bind(address, is_shared=False)
    if not is_shared:
        return sock
    name: Address = sock.getsockname()
    sock.close()
    return _bind(name, is_shared=True)


def _bind(address: Address, *, is_shared: bool) -> socket.socket:
    sock = _new_socket(address)
    try:
        if sock.family == socket.AF_INET6 and address[0] == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def dialing_socket(address: Address) -> socket.socket:
    """Return a non-blocking socket on a port of the kernel's choice, to talk to `address`.

    Raises:
        OSError: there is no route to it, as to IPv6 on a machine without.
    """
    with _new_socket(address) as probe:
        probe.connect(address)
    return _new_socket(address)


def _new_socket(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    for force, option in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
        except OSError:  # not privileged: as much as net.core.rmem_max and wmem_max allow
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return sock
