"""Dial of an origin that TLS may be spoken to: a handshake follows the connection, within the same time."""

from socket import SocketType
from typing import override

from towonel.agent.worker.origin_dial import OriginDial
from towonel.agent.worker.origin_handshake import HandshakeOwner, OriginHandshake
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code


class SecureDial(OriginDial, HandshakeOwner):
    """Dial of one origin; arguments as of `OriginDial`."""

    _handshake: OriginHandshake | None = None

    # Hooks.

    def secure(self, sock: SocketType) -> TlsSocket | None:
        """Return a connected socket inside TLS, or None for an origin that is spoken to without."""
        raise NotImplementedError

    def describe_failure(self, error: OSError) -> str:
        """Return why a handshake failed."""
        raise NotImplementedError

    # What happens.

    @override
    def take(self, sock: SocketType, events: int) -> None:
        tls = self.secure(sock)
        if tls is None:
            super().take(sock, events)
            return
        self._handshake = handshake = OriginHandshake(tls, self.loop, self)
        handshake.on_ready(events)

    @override
    def on_handshake(self, sock: TlsSocket, events: int) -> None:
        self._handshake = None
        super().take(sock, events)

    @override
    def on_handshake_failed(self, error: OSError) -> None:
        self._end()
        self.on_failed(Code.ORIGIN_TLS_FAILED, self.describe_failure(error))

    @override
    def _end(self) -> None:
        super()._end()
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.close()
