"""Successor of an edge in an upgrade: the process that takes its listening sockets over."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import batched
from pathlib import Path

import structlog

from towonel.edge.upgrade.channel import SOCKET_FILE, UpgradeChannel, is_own, listen_in
from towonel.relay.channel import MAX_DESCRIPTORS, ChannelMessage
from towonel.tunnel.listener import Listener

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Successors:
    """Listener for a successor, of which there is one at a time.

    Args:
        folder: the edge's state.
        agents: takes sessions.
        sockets: returns duplicates of the listening sockets: of sessions, of clients, of lanes.
        ports: returns those of TCP and UDP services, by message and port.
        sealed: returns that of agents' sealed packets, if there is one.

    Attributes:
        is_ready: set once a successor is ready to serve.
    """

    def __init__(
        self,
        folder: Path,
        agents: Listener,
        sockets: Callable[[], Sequence[int]],
        ports: Callable[[], Mapping[str, Mapping[int, int]]],
        sealed: Callable[[], Sequence[int]],
    ) -> None:
        self.is_ready = asyncio.Event()
        self._folder = folder
        self._agents = agents
        self._sockets = sockets
        self._ports = ports
        self._sealed = sealed
        self._loop = asyncio.get_running_loop()
        self._channel: UpgradeChannel | None = None
        self._sock: socket.socket | None = None
        try:
            self._sock = listen_in(folder)
        except OSError as error:
            log.warning("upgrade.unavailable", error=str(error))
        else:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def hand_over(self) -> None:
        """Let the successor have what comes from now on; sessions here are served on."""
        assert self._channel is not None, "a successor is ready"
        self._agents.endpoint.pause()
        self._stop_listening()
        # Those over TCP come by the sockets of clients, which wait for these.
        sessions = sum(each.has_streams for each in self._agents.sessions)
        self._channel.send("yours", {"sessions": sessions})

    def close(self) -> None:
        """Stop listening, and leave a successor alone."""
        if self._sock is not None:
            (self._folder / SOCKET_FILE).unlink(missing_ok=True)
        self._stop_listening()
        if self._channel is not None:
            self._channel.close()

    def _stop_listening(self) -> None:
        """Stop, and leave the file alone: the successor has one of its own there."""
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _accept(self) -> None:
        assert self._sock is not None, "it is read"
        with suppress(OSError):
            sock, _ = self._sock.accept()
            if self._channel is not None or not is_own(sock):
                sock.close()
                return
            self._channel = UpgradeChannel(sock, self._act, self._forget)
            self._channel.send("sealed", {}, self._sealed())
            self._channel.send("sockets", {}, self._sockets())
            for kind, sockets in self._ports().items():
                for some in batched(sockets.items(), MAX_DESCRIPTORS, strict=False):
                    ports, descriptors = zip(*some, strict=True)
                    self._channel.send(kind, {"ports": ports}, descriptors)

    def _act(self, message: ChannelMessage) -> None:
        for descriptor in message.descriptors:
            os.close(descriptor)
        if message.kind == "ready":
            self.is_ready.set()
        elif message.kind == "datagram":
            self._agents.receive(message.fields["data"], tuple(message.fields["address"]))

    def _forget(self) -> None:
        """Go on, unless it was ready: then this process is done, whatever became of the other one."""
        self._channel = None if not self.is_ready.is_set() else self._channel
