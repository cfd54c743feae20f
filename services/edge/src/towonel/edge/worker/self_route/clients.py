"""Clients of the hub's own name.

end TLS ─▶ connect to the hub ─▶ header with the client's address ─▶ relay
"""

import os
import socket
import time
from collections.abc import Sequence
from socket import SocketType
from typing import TYPE_CHECKING, Final, override

from towonel.edge.core.access_log import HUB_WAY
from towonel.edge.core.http.hub_route import HUB
from towonel.edge.worker.clients import Client
from towonel.edge.worker.counters import count
from towonel.edge.worker.self_route.connection import HubConnection, HubUpstream
from towonel.edge.worker.termination.client import TerminatedClient
from towonel.edge.worker.termination.messages import HubRouteChanged
from towonel.identity.hub_proof import TLV_HUB_PROOF
from towonel.relay.connection import Connection, Owner
from towonel.relay.hop.choice import SocketName
from towonel.relay.loop import BROKEN, WRITABLE, Handler
from towonel.relay.sockets import connect, tune_lasting
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire import proxy
from towonel.wire.errors import Code, Unavailable

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService

PLACES: Final = 1024  # for clients of the hub at once, of which one source gets its share


class HubDial(Handler):
    """Dial of the hub for a client.

    Args:
        client: for which it is.
        addresses: of the hub, which are tried in this order.
    """

    def __init__(self, client: "HubClient", addresses: Sequence[SocketName]) -> None:
        self._client = client
        self._loop = client.service.loop
        self._left = list(addresses)
        self._sock: SocketType | None = None
        self._failure = "its name does not resolve"

    def start(self) -> None:
        """Connect to the next address, or refuse the client."""
        while self._left:
            try:
                self._sock = connect(self._left.pop(0), None)
            except OSError as error:
                self._failure = error.strerror or str(error)
                continue
            self._loop.add(self._sock.fileno(), self)
            return
        self._client.on_dial_failed(self._failure)

    @override
    def on_ready(self, events: int) -> None:
        sock = self._sock
        assert sock is not None, "it is in the loop"
        if events & BROKEN:
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._failure = os.strerror(error)
            self.close()
            self.start()
        elif events & WRITABLE:
            self._sock = None
            self._client.on_connected(sock)

    @override
    def crash(self, error: Exception) -> None:
        self.close()
        self._client.crash(error)

    def close(self) -> None:
        """Stop."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.forget(sock.fileno())
            sock.close()


class HubClient(TerminatedClient):
    """Client whose TLS ends here, and which the hub itself serves.

    Args:
        client: as of `TerminatedClient`.
        hub: where the hub is.
    """

    _dial: HubDial | None = None

    def __init__(self, client: Client, hub: HubRouteChanged) -> None:
        super().__init__(client)
        self._hub = hub

    @override
    def open_inside(self) -> None:
        self.service.loop.wheel.arm(self, self.service.start.open_s)
        self._dial = HubDial(self, self._hub.addresses)
        self._dial.start()

    def on_dial_failed(self, reason: str) -> None:
        """Act on a hub that nothing answers for."""
        self._dial = None
        self._refuse(Unavailable(Code.HUB_UNAVAILABLE, f"{self.server_name}: {reason}"))

    def on_connected(self, sock: SocketType) -> None:
        """Say to the hub who the client is, and relay it."""
        self._dial = None
        tlvs = ((TLV_HUB_PROOF, self._hub.proof),) if self._hub.proof else ()
        header = proxy.encode_addresses(self.source, self.destination, proxy.encode_tlvs(tlvs))
        self.service.hub.relay(self, sock, header)

    @override
    def on_ready(self, events: int) -> None:
        super().on_ready(events)
        self._close_dial_if_over()

    @override
    def expire(self) -> None:
        super().expire()
        self._close_dial_if_over()

    def _close_dial_if_over(self) -> None:
        """Stop dialing for a client that is refused."""
        if self._dial is not None and self not in self.service.arriving:
            self._dial.close()
            self._dial = None


class HubClients(Owner):
    """Registry of clients of the hub's own name.

    Args:
        service: of the worker's clients.

    Attributes:
        route: that name, and where the hub is, if this edge answers it.
    """

    def __init__(self, service: "ClientService") -> None:
        self.report_crash = service.report_crash
        self.route: HubRouteChanged | None = None
        self._service = service
        self._connections: set[HubConnection] = set()

    def is_wanted(self, client: Client) -> bool:
        """Whether a client asks for the hub's own name, whoever publishes it."""
        return self.route is not None and client.server_name == self.route.name

    def serve(self, client: Client) -> None:
        """End the TLS of a client, and connect it to the hub.

        Raises:
            TowonelError: it gets no service.
        """
        assert self.route is not None, "it is wanted"
        assert client.ticket is not None, "it is admitted"
        self._service.admission.claim_tenant(client.ticket, HUB, {None: PLACES}, PLACES)
        self._service.terminator.take_over(client, HubClient(client, self.route))

    def relay(self, client: HubClient, sock: SocketType, header: bytes) -> None:
        """Relay a client over a socket that is connected to the hub."""
        service, loop = self._service, self._service.loop
        assert isinstance(client.sock, TlsSocket), "its handshake is done"
        assert client.ticket is not None, "it is admitted"
        service.take_out(client)
        if client.record is not None:
            client.record.accepted_at = time.monotonic()
            client.record.way = HUB_WAY
            client.note(client.record)
        tune_lasting(sock)
        upstream = HubUpstream(sock, loop, client.sock.memory)
        loop.replace(upstream.descriptor, upstream)
        connection = HubConnection(
            client.sock,
            loop,
            upstream,
            self,
            idle_s=service.start.idle_s,
            ticket=client.ticket,
            record=client.record,
            first_bytes=len(client.data),
        )
        if client.hung_up:
            connection.hung_up, connection.ended_well = True, client.ended_well
        self._connections.add(connection)
        service.counters.served[HUB_WAY] += 1
        loop.replace(client.descriptor, connection)
        upstream.send(header + client.data)
        upstream.attach(connection)

    def close(self) -> None:
        """Cut all clients."""
        for connection in tuple(self._connections):
            connection.finish(Code.CANCELLED)

    def count_bytes(self, connection: HubConnection) -> None:
        """Count the bytes that passed since the last time."""
        counters = self._service.counters
        counters.bytes_in += connection.received - connection.counted_in
        counters.bytes_out += connection.sent - connection.counted_out
        connection.counted_in, connection.counted_out = connection.received, connection.sent

    @override
    def on_connection_ended(self, connection: Connection) -> None:
        assert isinstance(connection, HubConnection), "nothing else is owned by this"
        service = self._service
        self._connections.discard(connection)
        self.count_bytes(connection)
        service.admission.release(connection.ticket)
        service.counters.active -= 1
        count(service.counters.ended, connection.code)
        if connection.record is not None and service.access_log is not None:
            service.access_log.end(
                connection.record, connection.code, connection.received, connection.sent
            )
