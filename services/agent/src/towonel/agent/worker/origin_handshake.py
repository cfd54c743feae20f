"""Handshake of TLS with an origin that is connected, before it gets a byte of a client."""

import select
from typing import Protocol, override

from towonel.relay.loop import Handler, Loop
from towonel.relay.tls.tls_socket import TlsSocket


class HandshakeOwner(Protocol):
    """Owner of a handshake, which bounds its time."""

    def on_handshake(self, sock: TlsSocket, events: int) -> None:
        """Relay the socket, which is in the loop; `events` is all that epoll has said of it."""
        ...

    def on_handshake_failed(self, error: OSError) -> None:
        """Act on the failure of a handshake, which is to be closed."""
        ...

    def crash(self, error: Exception) -> None:
        """Act on an exception that is a bug."""
        ...


class OriginHandshake(Handler):
    """Handshake with one origin.

    Args:
        sock: connected, and in the loop; it belongs to this until it is handed over.
        loop: of the worker.
        owner: told how it ends.
    """

    def __init__(self, sock: TlsSocket, loop: Loop, owner: HandshakeOwner) -> None:
        self.sock = sock
        self._loop = loop
        self._owner = owner
        self._events = select.EPOLLIN  # bytes may come with its end, of which no event tells
        loop.replace(sock.fileno(), self)

    @override
    def on_ready(self, events: int) -> None:
        self._events |= events
        try:
            self.sock.shake_hands()
        except BlockingIOError:
            return
        except OSError as error:
            self._owner.on_handshake_failed(error)
            return
        self._owner.on_handshake(self.sock, self._events)

    @override
    def crash(self, error: Exception) -> None:
        self._owner.crash(error)

    def close(self) -> None:
        """Give the socket up."""
        self._loop.forget(self.sock.fileno())
        self.sock.close()
