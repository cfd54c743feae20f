"""Clients whose TLS ends at the edge: the handshake, after which a lane is opened for what is inside."""

import ssl
from typing import override

from towonel.edge.worker.clients import FIRST_BYTES, FREE_READS, Client
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code, ProtocolError, Unavailable


class TerminatedClient(Client):
    """Client whose handshake is under way, and for which a lane inside TLS is opened afterwards.

    Args:
        client: whose ClientHello is read and whose route is known; this takes its place.
        sock: its socket, inside TLS.
    """

    awaited = "handshake"
    inside_tls = True
    is_counted = True
    is_moved = True  # what TLS keeps of it cannot move

    def __init__(self, client: Client, sock: TlsSocket) -> None:
        super().__init__(sock, (str(client.source.ip), client.source.port), client.service)
        self._handshake = sock
        self.source, self.destination = client.source, client.destination
        self.ticket, self.record = client.ticket, client.record
        self.server_name, self.route = client.server_name, client.route
        self.wanted, self.routes_at = client.wanted, client.routes_at
        self.hung_up, self.ended_well = client.hung_up, client.ended_well
        self.give_up_at = client.give_up_at

    def shake_hands(self) -> None:
        """Begin; bytes that were read before may be all that the client sends for now."""
        wheel = self.service.loop.wheel
        wheel.arm(self, max(self.give_up_at - wheel.now, 0.0))
        self._read()

    @property
    @override
    def may_follow(self) -> bool:
        """Whether the origin is to answer before anything has come, or all of it: else it answers what has."""
        return not self.data or super().may_follow

    @override
    def _is_waiting(self) -> bool:
        return False

    @override
    def _read(self) -> None:
        """Go on with the handshake, and with what follows it."""
        self._reads += 1
        try:
            self._handshake.shake_hands()
            self._open_with_present()
        except BlockingIOError:
            if self._reads > FREE_READS:
                self._pace()
        except ssl.SSLError as error:
            self._refuse(ProtocolError(Code.TLS_FAILED, error.reason or str(error)))
        except OSError as error:
            self._refuse(Unavailable(Code.CLIENT_CLOSED, str(error)))

    def _open_with_present(self) -> None:
        """Open a lane, with the bytes that came with the end of the handshake."""
        try:
            self.data = self._handshake.recv(FIRST_BYTES)
        except BlockingIOError:
            pass  # none have
        else:
            if not self.data:
                raise ConnectionResetError("ended after the handshake")
        self.opening = self.readable = True
        self.service.open(self)
