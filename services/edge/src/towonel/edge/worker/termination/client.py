"""Clients whose TLS ends at the edge.

wait for a certificate ──▶ shake hands ──▶ open a lane for what is inside
                                └────────▶ close: an authority has seen its challenge
"""

import ssl
from typing import override

from towonel.edge.worker.clients import FIRST_BYTES, FREE_READS, Client
from towonel.relay.loop import BROKEN
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code, ProtocolError, Unavailable


class TerminatedClient(Client):
    """Client whose handshake is to come, and for which a lane inside TLS is opened afterwards.

    Args:
        client: whose ClientHello is read; this takes its place, socket included.
    """

    awaited = "handshake"
    inside_tls = True
    offers_http2: bool = False
    is_counted = True
    is_moved = True  # what TLS keeps of it cannot move
    _handshake: TlsSocket | None = None
    _ends_after_handshake: bool = False

    def __init__(self, client: Client) -> None:
        super().__init__(client.sock, (str(client.source.ip), client.source.port), client.service)
        self.source, self.destination = client.source, client.destination
        self.ticket, self.record = client.ticket, client.record
        self.server_name, self.data = client.server_name, client.data
        self.hung_up, self.ended_well = client.hung_up, client.ended_well
        self.give_up_at = client.give_up_at

    def follow_route(self, client: Client) -> None:
        """Go by the route that was found for the client."""
        self.route, self.wanted, self.routes_at = client.route, client.wanted, client.routes_at
        self.offers_http2 = client.route.http2

    def wait(self, wait_s: float) -> None:
        """Wait so long for a certificate, with which `shake_hands` is called."""
        self.give_up_at = self.service.loop.wheel.now + wait_s
        self.service.loop.wheel.arm(self, wait_s)

    def shake_hands(self, sock: TlsSocket, *, ends: bool = False) -> None:
        """Begin the handshake, for which all bytes may be here; `ends` says that nothing follows it."""
        wheel = self.service.loop.wheel
        self.sock = self._handshake = sock
        self.data = b""
        self._ends_after_handshake = ends
        wheel.arm(self, max(self.give_up_at - wheel.now, 0.0))
        self._read()

    @property
    @override
    def may_follow(self) -> bool:
        """Whether the origin is to answer before anything has come, or all of it: else it answers what has."""
        return not self.data or super().may_follow

    @override
    def on_ready(self, events: int) -> None:
        if self._handshake is None and events & BROKEN:
            self._refuse(Unavailable(Code.CLIENT_CLOSED, "while it waited for a certificate"))
        else:
            super().on_ready(events)

    @override
    def expire(self) -> None:
        if self._handshake is None:
            self._refuse(Unavailable(Code.NO_CERTIFICATE, f"{self.server_name}: none in time"))
        else:
            super().expire()

    @override
    def _is_waiting(self) -> bool:
        return False

    @override
    def _read(self) -> None:
        """Go on with the handshake, and with what follows it."""
        if self._handshake is None:
            return
        self._reads += 1
        try:
            self._handshake.shake_hands()
            self._go_on(self._handshake)
        except BlockingIOError:
            if self._reads > FREE_READS:
                self._pace()
        except ssl.SSLError as error:
            self._refuse(ProtocolError(Code.TLS_FAILED, error.reason or str(error)))
        except OSError as error:
            self._refuse(Unavailable(Code.CLIENT_CLOSED, str(error)))

    def _go_on(self, sock: TlsSocket) -> None:
        """Open a lane, with the bytes that came with the end of the handshake."""
        if self._ends_after_handshake:
            self._refuse(Unavailable(Code.NORMAL, "the challenge of an authority is answered"))
            return
        try:
            self.data = sock.recv(FIRST_BYTES)
        except BlockingIOError:
            pass  # none have
        else:
            if not self.data:
                raise ConnectionResetError("ended after the handshake")
        self.opening = self.readable = True
        self.protocol = sock.protocol
        self.open_inside()

    def open_inside(self) -> None:
        """Open what carries the bytes that are inside."""
        self.service.open(self)
