"""Acceptor of connections from a listening socket that several workers share."""

import errno
import select
import socket
from collections.abc import Callable
from ipaddress import ip_address
from socket import SocketType
from typing import Final, override

from towonel.relay.hop.choice import Hop, SocketName
from towonel.relay.loop import Handler, Loop
from towonel.relay.sockets import accept

BATCH: Final = 16  # connections of one wake-up, before other events get their turn
# Out of descriptors or memory, most often: accepting again at once would fail again, and spin.
PAUSE_S: Final = 0.1  # connections wait in the backlog meanwhile; those that end free descriptors
_EXCLUSIVE: Final = select.EPOLLIN | select.EPOLLEXCLUSIVE  # one worker wakes up for a connection

type OnAccepted = Callable[[SocketType, SocketName, SocketName | None], object]


class Acceptor(Handler):
    """Acceptor of one listening socket.

    Args:
        sock: listens, and is non-blocking; it is owned by this.
        loop: of the worker.
        on_accepted: owns the new socket, which is non-blocking; is told the name of its peer, and its own
            where that is the listener's.
        on_error: is told the name of an error, such as EMFILE; then there is a pause.
        hop: accepts, where it is compiled.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: Loop,
        on_accepted: OnAccepted,
        on_error: Callable[[str], None],
        hop: Hop | None = None,
    ) -> None:
        self._sock = sock
        name: SocketName = self._sock.getsockname()
        self._name = None if ip_address(name[0]).is_unspecified else name
        self._loop = loop
        self._on_accepted = on_accepted
        self._on_error = on_error
        self._hop = hop
        self._paused = False
        loop.add(self._sock.fileno(), self, _EXCLUSIVE)

    def close(self) -> None:
        """Take what waits in the kernel's queue, which closing may reset; then close."""
        while self._accept():
            pass
        self._loop.delays.disarm(self)
        if not self._paused:
            self._loop.release(self._sock.fileno())
        self._sock.close()

    @override
    def on_ready(self, events: int) -> None:
        for _ in range(BATCH):
            if not self._accept():
                return

    @override
    def expire(self) -> None:
        self._paused = False
        self._loop.add(self._sock.fileno(), self, _EXCLUSIVE)

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._loop.release(self._sock.fileno())

    def _accept(self) -> bool:
        try:
            sock, peer = accept(self._sock, self._hop)
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True  # the client left before its turn
        except OSError as error:
            if error.errno == errno.EINVAL:  # control has ended it, and says so
                self._pause()
                return False
            self._on_error(errno.errorcode.get(error.errno or 0, "unknown"))
            if not self._paused:
                self._pause()
                self._loop.delays.arm(self, PAUSE_S)
            return False
        self._on_accepted(sock, peer, self._name)
        return True


class Acceptors:
    """Acceptors of a worker, by the port where that is one service's.

    Args:
        loop: of the worker.
        on_error: as of `Acceptor`.
    """

    def __init__(self, loop: Loop, on_error: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_error = on_error
        self._acceptors: list[tuple[int | None, Acceptor]] = []

    def listen(
        self, sock: socket.socket, on_accepted: OnAccepted, hop: Hop | None, port: int | None
    ) -> None:
        """Accept from a socket from now on."""
        acceptor = Acceptor(sock, self._loop, on_accepted, self._on_error, hop)
        self._acceptors.append((port, acceptor))

    def close_port(self, port: int) -> None:
        """Accept no more from a port that was a service's."""
        for each in [each for each in self._acceptors if each[0] == port]:
            self._acceptors.remove(each)
            each[1].close()

    def close(self) -> None:
        """Accept no more."""
        for _, acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
