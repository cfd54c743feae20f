"""Predecessor of an edge in an upgrade: the process whose listening sockets this one takes over."""

import asyncio
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from towonel.edge.upgrade.channel import UpgradeChannel, connect_in
from towonel.relay.channel import ChannelMessage
from towonel.tunnel.listener import Listener
from towonel.tunnel.quic.udp import Address

ANSWER_S: Final = 10.0  # for the predecessor to send its sockets, and to stop accepting
AGENTS_S: Final = (
    5.0  # for its agents to open sessions here, before clients are accepted in any case
)
CHECK_S: Final = 0.02


class Predecessor:
    """Process that this one replaces.

    Attributes:
        clients: listens for clients.
        lanes: listen for lanes, where clients do not connect.
        sessions: of agents; its port's datagrams.
    """

    clients: socket.socket
    sessions: socket.socket

    def __init__(self, sock: socket.socket) -> None:
        self.lanes: list[socket.socket] = []
        self._ports: dict[int, socket.socket] = {}
        self._udp_ports: dict[int, socket.socket] = {}
        self._sealed: socket.socket | None = None
        self._has_sockets, self._is_ours = asyncio.Event(), asyncio.Event()
        self._agents = 0
        self._listener: Listener | None = None
        self._channel = UpgradeChannel(sock, self._act, self._give_up)

    async def wait_sockets(self) -> bool:
        """Return whether it has sent its sockets in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._has_sockets.wait()
        return hasattr(self, "clients")

    async def replace(self, listener: Listener, present: Callable[[], Collection[object]]) -> None:
        """Let it stop accepting, and take sessions in its place; clients wait in the kernel meanwhile.

        Args:
            listener: paused, on its socket of sessions.
            present: returns the sessions that there are here.
        """
        self._listener = listener
        self._channel.send("ready", {})
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._is_ours.wait()
        listener.elsewhere = self._forward if self._channel.is_open else None
        listener.endpoint.resume()
        for _ in range(round(AGENTS_S / CHECK_S)):
            if len(present()) >= self._agents:
                return
            await asyncio.sleep(CHECK_S)

    def take_ports(self) -> dict[int, socket.socket]:
        """Return its sockets of TCP services, by port; one that has not come can be had once that process has ended."""
        ports, self._ports = self._ports, {}
        return ports

    def take_udp_ports(self) -> dict[int, socket.socket]:
        """Return its sockets of UDP services, likewise."""
        ports, self._udp_ports = self._udp_ports, {}
        return ports

    def take_sealed(self) -> socket.socket | None:
        """Return its socket of agents' sealed packets, if it has one."""
        sealed, self._sealed = self._sealed, None
        return sealed

    def close(self) -> None:
        """Let it end alone, and close what nobody has taken over from here."""
        self._channel.close()
        sealed = () if self._sealed is None else (self._sealed,)
        for sock in (*self.lanes, *self._ports.values(), *self._udp_ports.values(), *sealed):
            sock.close()

    def _act(self, message: ChannelMessage) -> None:
        sockets = [socket.socket(fileno=each) for each in message.descriptors]
        for sock in sockets:
            sock.setblocking(False)
        if message.kind == "sockets" and len(sockets) > 1:
            self.sessions, self.clients, *self.lanes = sockets
            self._has_sockets.set()
        elif message.kind == "ports":
            self._ports |= dict(zip(message.fields["ports"], sockets, strict=False))
        elif message.kind == "udp_ports":
            self._udp_ports |= dict(zip(message.fields["ports"], sockets, strict=False))
        elif message.kind == "sealed" and sockets:
            self._sealed = sockets[0]
        elif message.kind == "yours":
            self._agents = int(message.fields["sessions"])
            self._is_ours.set()

    def _forward(self, data: bytes, address: Address) -> bool:
        """Pass on a datagram of a session that is not known here; one that finds no room is lost."""
        self._channel.send("datagram", {"data": data, "address": list(address)})
        return self._channel.is_open

    def _give_up(self) -> None:
        self._has_sockets.set()
        self._is_ours.set()
        if self._listener is not None:
            self._listener.elsewhere = None


async def find_predecessor(folder: Path) -> Predecessor | None:
    """Return the edge that runs with a state folder, with its sockets; None if there is none."""
    sock = connect_in(folder)
    if sock is None:
        return None
    found = Predecessor(sock)
    if await found.wait_sockets():
        return found
    found.close()
    return None
