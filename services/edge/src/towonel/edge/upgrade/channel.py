"""Channel between an edge and the process that replaces it: a Unix socket in the edge's state folder.

old ──▶ new    sockets: UDP of sessions, TCP of clients, TCP of lanes
old ──▶ new    sealed: UDP of sealed packets, before all others, if there is one
old ──▶ new    ports, udp_ports: of TCP and UDP services, by port, some in each message
new ──▶ old    ready: it has routes and workers
old ──▶ new    yours: the old one accepts nothing any more, and reads no datagram
new ──▶ old    datagram: of a session that the old one has still
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from towonel.relay.channel import Channel, ChannelClosed, ChannelMessage
from towonel.wire.errors import ProtocolError

SOCKET_FILE: Final = "upgrade.sock"
_CREDENTIALS: Final = struct.Struct("iII")  # pid, uid, gid
_PRIVATE: Final = 0o600
_SEND_BYTES: Final = 1024 * 1024  # of datagrams under way, as far as the system allows


class UpgradeChannel:
    """Channel on the event loop, one end of it.

    Args:
        sock: connected, of SOCK_SEQPACKET.
        on_message: owns the message's descriptors.
        on_closed: is told once that the other process is gone.

    Attributes:
        is_open: whether the other process is there.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[ChannelMessage], None],
        on_closed: Callable[[], None],
    ) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self._channel = Channel(sock)
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        self._loop.add_reader(self._channel.fileno(), self._read)

    def send(self, kind: str, fields: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message, or drop it where the other process does not read; its descriptors are closed."""
        if not self.is_open or self._channel.holds:
            for descriptor in descriptors:
                os.close(descriptor)
            return
        try:
            self._channel.send(kind, fields, descriptors)
        except ChannelClosed:
            self.close()
        else:
            self._watch_output()

    def close(self) -> None:
        """Close this end. Idempotent."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.close()
            self._on_closed()

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._on_message(message)
        except (ChannelClosed, ProtocolError):
            self.close()

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except ChannelClosed:
            self.close()
            return
        self._watch_output()

    def _watch_output(self) -> None:
        if self._channel.holds:
            self._loop.add_writer(self._channel.fileno(), self._flush)
        else:
            self._loop.remove_writer(self._channel.fileno())


def listen_in(folder: Path) -> socket.socket:
    """Return a socket that listens in a folder, where one of a process that is gone may be.

    Raises:
        OSError: the folder cannot be written to.
    """
    (folder / SOCKET_FILE).unlink(missing_ok=True)
    sock = _make_socket()
    try:
        _in_folder(folder, sock.bind)
        (folder / SOCKET_FILE).chmod(_PRIVATE)
        sock.listen(1)
    except OSError:
        sock.close()
        raise
    return sock


def connect_in(folder: Path) -> socket.socket | None:
    """Return a socket connected to the edge of a folder; None where none runs."""
    sock = _make_socket()
    try:
        _in_folder(folder, sock.connect)
    except OSError:
        sock.close()
        return None
    return sock


def is_own(sock: socket.socket) -> bool:
    """Whether the other end is a process of this user, or of root."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(data)
    return user in {0, os.getuid()}


def _make_socket() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    return sock


def _in_folder(folder: Path, act: Callable[[str], None]) -> None:
    """Name the socket by the folder's descriptor: its path may be longer than an address can be."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        act(f"/proc/self/fd/{descriptor}/{SOCKET_FILE}")
    finally:
        os.close(descriptor)
