"""Termination of clients' TLS in a worker, with the certificate of the very name that each asks for."""

from typing import TYPE_CHECKING

from towonel.edge.worker.clients import Client
from towonel.edge.worker.termination.certificates import Certificates
from towonel.edge.worker.termination.client import TerminatedClient
from towonel.relay.tls.tls_memory import TlsMemory
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code, Unavailable

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService


class Terminator:
    """Terminator of TLS.

    Args:
        service: of the worker's clients.

    Attributes:
        certificates: of the worker.
    """

    def __init__(self, service: "ClientService") -> None:
        self._service = service
        self._memory = TlsMemory()
        self.certificates = Certificates(gives_tickets=service.start.workers == 1)

    def begin(self, client: Client) -> None:
        """Shake hands with a client whose route is known.

        Lanes are asked for first: they may come while that goes on.

        Raises:
            Unavailable: NO_AGENT, NO_CERTIFICATE.
        """
        service, name = self._service, client.server_name
        if not service.sessions.find_inside_tls(client.route.tenant_id, client.wanted):
            raise Unavailable(Code.NO_AGENT, f"{client.wanted}: none that takes lanes")
        assert name is not None, "its ClientHello is read"
        try:
            context = self.certificates.find(name)
        except OSError as error:
            raise Unavailable(Code.NO_CERTIFICATE, f"{name}: {error}") from error
        if context is None:
            raise Unavailable(Code.NO_CERTIFICATE, name)
        service.take_out(client)
        sock = TlsSocket(client.sock, context, self._memory, received=client.data)
        terminated = TerminatedClient(client, sock)
        client.ticket = None
        service.loop.replace(terminated.descriptor, terminated)
        service.arriving.add(terminated)
        terminated.shake_hands()
