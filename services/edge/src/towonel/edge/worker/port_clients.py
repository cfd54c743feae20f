"""Clients of a port that is one TCP service's: they name nothing, and either side may speak first."""

from socket import SocketType
from typing import TYPE_CHECKING, override

from towonel.edge.core.admission import Ticket
from towonel.edge.core.route_table import PublicName, name_port
from towonel.edge.worker.clients import FIRST_BYTES, Client
from towonel.relay.hop.choice import SocketName
from towonel.wire.errors import Code, Unavailable
from towonel.wire.lane_admission import tls_pool_id
from towonel.wire.names import ServiceKind

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService


class PortClient(Client):
    """Client of a TCP service, for which a lane is opened as soon as it is there.

    Args:
        sock, peer, service, local: as of `Client`.
        port: that it came to.
    """

    def __init__(
        self,
        sock: SocketType,
        peer: SocketName,
        service: "ClientService",
        local: SocketName | None,
        port: int,
    ) -> None:
        super().__init__(sock, peer, service, local)
        self.port = port

    @override
    def begin(self, ticket: Ticket) -> None:
        super().begin(ticket)
        if not self._expects_proxy:
            self._act()

    @property
    @override
    def public_name(self) -> PublicName:
        assert self.port is not None, "it came to one"
        return name_port(self.port)

    @property
    @override
    def may_follow(self) -> bool:
        """Whether the service is to answer before anything has come, or all of it: else it answers what has."""
        return not self.data or super().may_follow

    @override
    def _act(self) -> None:
        self.count()
        if not self.data:
            self._read_present()
        self.readable = True
        self._open()

    def _read_present(self) -> None:
        """Take what has come already, which then goes along with the request for its service.

        An end that has come is read again by the relay: such a client may still wait for an answer.
        """
        try:
            self.data = self.sock.recv(FIRST_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise Unavailable(Code.CLIENT_CLOSED, str(error)) from error


class CarrierClient(PortClient):
    """Connection of the flow worker: it wants a lane of one session, for sealed packets of a UDP service.

    Args:
        sock, peer, service, port: as of `PortClient`.
        session_id: of the session.
    """

    is_moved = True  # it stays with this worker

    def __init__(
        self,
        sock: SocketType,
        peer: SocketName,
        service: "ClientService",
        port: int,
        session_id: bytes,
    ) -> None:
        super().__init__(sock, peer, service, None, port)
        self.only_pool = tls_pool_id(session_id)

    @override
    def begin(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.service.admission.claim_source(ticket, f"session {self.only_pool!r}")
        self._act()

    @property
    @override
    def public_name(self) -> PublicName:
        assert self.port is not None, "it is of one"
        return name_port(self.port, ServiceKind.UDP)

    @property
    @override
    def may_follow(self) -> bool:
        return True


def make_client(
    sock: SocketType,
    peer: SocketName,
    service: "ClientService",
    local: SocketName | None = None,
    *,
    lanes_only: bool = False,
    port: int | None = None,
) -> Client:
    """Return a client, as of the port of a TCP service or of where clients say a name; arguments are theirs."""
    if port is None:
        return Client(sock, peer, service, local, lanes_only=lanes_only)
    return PortClient(sock, peer, service, local, port)
