"""Termination of clients' TLS in a worker, with the certificate of the very name that each asks for."""

import ssl
from typing import TYPE_CHECKING, assert_never

from towonel.edge.worker.clients import Client
from towonel.edge.worker.termination.certificates import Certificates
from towonel.edge.worker.termination.client import TerminatedClient
from towonel.edge.worker.termination.messages import (
    CertificateLoaded,
    CertificateMessage,
    CertificateRefused,
    CertificateRemoved,
    CertificateWanted,
    ChallengeChanged,
)
from towonel.relay.tls.tls_memory import TlsMemory
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.runtime.addresses import source_of
from towonel.wire.errors import Code, Unavailable
from towonel.wire.names import Hostname

if TYPE_CHECKING:
    from towonel.edge.worker.service import ClientService


class Terminator:
    """Terminator of TLS.

    Args:
        service: of the worker's clients.
    """

    def __init__(self, service: "ClientService") -> None:
        self._service = service
        self._memory = TlsMemory()
        self._certificates = Certificates(gives_tickets=service.start.workers == 1)
        self._waiting: dict[str, dict[TerminatedClient, None]] = {}

    def change(self, message: CertificateMessage) -> None:
        """Act on what control says of a certificate."""
        match message:
            case CertificateLoaded(name, pem, is_exclusive):
                self._certificates.load(name, pem, is_exclusive=is_exclusive)
                self._resume(name)
            case CertificateRemoved(name):
                self._certificates.load(name, b"")
            case ChallengeChanged(name, pem):
                self._certificates.load_challenge(name, pem)
            case CertificateRefused(name, reason, source):
                self._refuse(name, reason, source)
            case _:
                assert_never(message)

    def answer(self, client: Client) -> bool:
        """Answer the challenge of an authority, and return whether one is pending for the name.

        It is no client of the route: no limit or network of that keeps it away.
        """
        name = client.server_name
        context = None if name is None else self._certificates.find_challenge(name)
        if context is None:
            return False
        terminated = TerminatedClient(client)
        self._replace(client, terminated)
        self._shake_hands(terminated, context, ends=True)
        return True

    def begin(self, client: Client) -> None:
        """Shake hands with a client whose route is known, once there is a certificate.

        Lanes are asked for first: they may come while that goes on.

        Raises:
            Unavailable: NO_AGENT, NO_CERTIFICATE, OVERLOADED.
        """
        sessions = self._service.sessions
        if not client.is_challenge and not sessions.find_inside_tls(
            client.route.tenant_id, client.wanted
        ):
            raise Unavailable(Code.NO_AGENT, f"{client.wanted}: none that takes lanes")
        terminated = TerminatedClient(client)
        terminated.follow_route(client)
        self.take_over(client, terminated)

    def take_over(self, client: Client, terminated: TerminatedClient) -> None:
        """Let another client take the place of one, and shake hands with it once there is a certificate.

        Raises:
            Unavailable: NO_CERTIFICATE, OVERLOADED.
        """
        service, name = self._service, client.server_name
        assert name is not None, "its ClientHello is read"
        if client.is_challenge:
            raise Unavailable(Code.NO_CERTIFICATE, f"{name}: no challenge is pending")
        context = self._find_context(name, http2=terminated.offers_http2)
        if context is None and service.is_orphan:
            raise Unavailable(Code.NO_CERTIFICATE, name)
        if context is None and not self._has_room():
            raise Unavailable(Code.OVERLOADED, "clients that wait for a certificate")
        self._replace(client, terminated)
        if context is None:
            self._wait(name, terminated)
        else:
            self._shake_hands(terminated, context)

    def _find_context(self, name: Hostname, *, http2: bool) -> ssl.SSLContext | None:
        try:
            return self._certificates.find(name, http2=http2)
        except OSError as error:
            raise Unavailable(Code.NO_CERTIFICATE, f"{name}: {error}") from error

    def _replace(self, client: Client, terminated: TerminatedClient) -> None:
        service = self._service
        service.take_out(client)
        client.ticket = None
        service.loop.replace(terminated.descriptor, terminated)
        service.arriving.add(terminated)

    def _shake_hands(
        self, client: TerminatedClient, context: ssl.SSLContext, *, ends: bool = False
    ) -> None:
        sock = TlsSocket(client.sock, context, self._memory, received=client.data)
        client.shake_hands(sock, ends=ends)

    # Clients that wait for a certificate.

    def _has_room(self) -> bool:
        """Tell whether one more may wait; those that have gone make room, and their names stay asked for."""
        at_most, arriving = self._service.start.certificate_clients, self._service.arriving
        if self._count_waiting() >= at_most:
            for name, clients in self._waiting.items():
                self._waiting[name] = {each: None for each in clients if each in arriving}
        return self._count_waiting() < at_most

    def _count_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _wait(self, name: Hostname, client: TerminatedClient) -> None:
        """Wait for a certificate: control is asked once for each name, until it answers."""
        is_first = name not in self._waiting
        self._waiting.setdefault(name, {})[client] = None
        client.wait(self._service.start.certificate_s)
        if is_first:
            self._service.send(CertificateWanted(name, source_of(client.source.ip)))

    def _take_waiting(self, name: str) -> list[TerminatedClient]:
        """Return those that wait for a name, and wait no longer; some may have gone."""
        arriving = self._service.arriving
        return [client for client in self._waiting.pop(name, {}) if client in arriving]

    def _resume(self, name: str) -> None:
        for client in self._take_waiting(name):
            try:
                context = self._find_context(Hostname(name), http2=client.offers_http2)
            except Unavailable as error:
                self._service.refuse(client, error)
                continue
            assert context is not None, "it has just come"
            client.give_up_at = self._service.loop.wheel.now + self._service.start.handshake_s
            self._shake_hands(client, context)

    def _refuse(self, name: str, reason: str, source: str) -> None:
        """Refuse those that wait, all of them or those of a source: then another asks."""
        others: list[TerminatedClient] = []
        for client in self._take_waiting(name):
            if source in {"", source_of(client.source.ip)}:
                self._service.refuse(client, Unavailable(Code.NO_CERTIFICATE, f"{name}: {reason}"))
            else:
                others.append(client)
        if others:
            self._waiting[name] = dict.fromkeys(others)
            self._service.send(CertificateWanted(name, source_of(others[0].source.ip)))
