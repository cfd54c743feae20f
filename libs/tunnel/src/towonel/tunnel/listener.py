"""Listener of an edge: one UDP port, with connections by their ids."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Collection
from typing import override

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage] its documented home
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import QuicHeader, QuicPacketType, pull_quic_header

from towonel.identity.certs import certificate_sha256
from towonel.identity.grants import Grant
from towonel.identity.keys import NodeKey
from towonel.tunnel.channel import Channel
from towonel.tunnel.core.bounds.handshake_places import (
    DEFAULT_LIMITS,
    Full,
    HandshakeLimits,
    HandshakePlaces,
)
from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.handshake import EdgeHandshake, EdgeIdentity
from towonel.tunnel.core.timing import DEFAULT_TIMING, Timing
from towonel.tunnel.quic.address_validation import AddressValidator
from towonel.tunnel.quic.configuration import edge_configuration, edge_connection
from towonel.tunnel.quic.connection import Connection
from towonel.tunnel.quic.stateless_reset import StatelessResetter
from towonel.tunnel.quic.udp import Address, Endpoint, bound_socket, resolve
from towonel.tunnel.session import AdmissionPolicy, Session, SessionListener
from towonel.tunnel.tcp.connections import TcpConnections
from towonel.tunnel.tcp.secure_socket import SecureSocket
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code, Denied
from towonel.wire.ids import AgentId, EdgeId
from towonel.wire.names import ServiceKey
from towonel.wire.session.balance_hints import BalanceHints

RESET_KEY = "towonel 2026-11 stateless reset"  # what the edge's key is asked for


class Listener(SessionListener):
    """Listener for agents; between sessions and the policy it keeps one session per agent.

    Args:
        sock: bound, and closed with the listener.
        configuration: of the edge's side of QUIC.
        edge: this edge, as the hub names it to agents.
        reset_key: of stateless resets; the same after a restart.
        policy: decides which agents to admit.
        timing: of sessions and connections.
        limits: on connections without a Hello yet.

    Attributes:
        endpoint: reads its socket.
        elsewhere: takes datagrams of unknown sessions, and returns whether there is who knows them.
    """

    def __init__(
        self,
        sock: socket.socket,
        configuration: QuicConfiguration,
        edge: EdgeIdentity,
        reset_key: bytes,
        policy: AdmissionPolicy,
        *,
        timing: Timing = DEFAULT_TIMING,
        limits: HandshakeLimits = DEFAULT_LIMITS,
    ) -> None:
        self._configuration = configuration
        self._handshake = EdgeHandshake(
            edge, policy.hub_ids, policy.refuse, self._refuse_more, lambda: self._draining
        )
        self._policy = policy
        self._timing = timing
        self.elsewhere: Callable[[bytes, Address], bool] | None = None
        self._loop = asyncio.get_running_loop()
        self._resetter = StatelessResetter(reset_key, self._loop.time())
        self._by_id: dict[bytes, Connection] = {}
        self._by_tcp = TcpConnections(timing)
        self._handshaking = HandshakePlaces[Transport](limits)
        self._sessions: dict[AgentId, Session] = {}
        self._draining = False
        self.endpoint = Endpoint(sock, self.receive)
        self._validator = AddressValidator(configuration, self.endpoint.send)

    @property
    def port(self) -> int:
        """UDP port."""
        return self.endpoint.port

    @property
    def sessions(self) -> Collection[Session]:
        """Sessions whose agents are admitted."""
        return self._sessions.values()

    def go_away(self) -> None:
        """Ask every agent to use another edge for what comes, and admit none any more.

        An agent that dialled this edge again would supersede its own session, which has streams.
        """
        self._draining = True
        for session in self._sessions.values():
            session.go_away()

    def take(self, sock: SecureSocket, address: Address) -> None:
        """Take a connection of TLS over TCP, whose handshake is still to come, for a session."""
        source = self._policy.source_of(address[0])
        if self._has_place(source, address):
            connection = self._by_tcp.open(
                sock, address, self._make_channel, self._handshaking.leave
            )
            self._handshaking.take(source, connection, self._loop.time())
        else:
            sock.close()

    def close(self, code: Code = Code.DRAINING) -> None:
        """End every connection and free the port."""
        for connection in (*set(self._by_id.values()), *self._by_tcp.open_ones):
            connection.close(CloseReason(code))
        self.endpoint.close()

    @override
    def on_admitted(self, session: Session) -> None:
        """Let a newer session of an agent take the place of the older."""
        self._handshaking.leave(session.connection)
        send, receive = self._policy.budgets_of(session.tenant_id)
        session.connection.send_budget.join(send)
        session.connection.receive_share.join(receive)
        older = self._sessions.get(session.agent_id)
        self._sessions[session.agent_id] = session
        self._policy.on_admitted(session)
        if older is not None:
            older.close(Code.SUPERSEDED)

    @override
    def on_going_away(self, session: Session) -> None:
        self._policy.on_going_away(session)

    @override
    def on_services_changed(
        self, session: Session, before: frozenset[ServiceKey], hints: BalanceHints
    ) -> None:
        self._policy.on_services_changed(session, before, hints)

    @override
    def on_ended(self, session: Session, code: Code) -> None:
        if self._sessions.get(session.agent_id) is session:
            del self._sessions[session.agent_id]
        self._policy.on_ended(session, code)

    def _refuse_more(self, grant: Grant, services: Collection[ServiceKey]) -> Denied | None:
        """Ask the policy; a session of another tenant that ends for this one is not of its places."""
        older = self._sessions.get(grant.agent_id)
        is_replacement = older is not None and older.tenant_id == grant.tenant_id
        return self._policy.refuse_more(grant, services, is_replacement=is_replacement)

    def receive(self, data: bytes, address: Address) -> None:
        """Hand a datagram to its connection; another opens one, is refused, or is dropped."""
        try:
            header = pull_quic_header(
                Buffer(data=data), host_cid_length=self._configuration.connection_id_length
            )
        except ValueError:
            return
        connection = self._by_id.get(header.destination_cid)
        if connection is None and header.packet_type is QuicPacketType.ONE_RTT:
            if self.elsewhere is None or not self.elsewhere(data, address):
                self._refuse(data, header, address)
        elif connection is None and len(data) >= SMALLEST_MAX_DATAGRAM_SIZE:
            connection = self._accept(header, address)
        if connection is not None:
            connection.receive(data, address)

    def _refuse(self, data: bytes, header: QuicHeader, address: Address) -> None:
        """Tell an agent that its connection is not known here: this edge was started again."""
        answer = self._resetter.answer(data, header.destination_cid, self._loop.time())
        if answer is not None:
            self.endpoint.send(answer, address)

    def _accept(self, header: QuicHeader, address: Address) -> Connection | None:
        """Return a new connection of a client that has proved its address."""
        original_id = self._validator.validate(header, address)
        if original_id is None:
            return None
        source = self._policy.source_of(address[0])
        if not self._has_place(source, address):
            return None
        self._validator.spend(header.destination_cid)
        connection = self._open(header.destination_cid, original_id)
        self._handshaking.take(source, connection, self._loop.time())
        return connection

    def _has_place(self, source: str, address: Address) -> bool:
        """Return whether there is a place for a handshake of a source; the last one loses its own."""
        place = self._handshaking.find(source, self._loop.time())
        if isinstance(place, Full):
            detail = f"{len(self._handshaking)} handshakes"
            self._policy.on_refused(place.code, detail, f"{address[0]}:{address[1]}")
            return False
        if place.evicted is not None:
            place.evicted.close(CloseReason(Code.OVERLOADED, "it made room for another handshake"))
        return True

    def _open(self, retry_id: bytes, original_id: bytes) -> Connection:
        quic = edge_connection(
            self._configuration, original_id, retry_id, self._resetter.make_token
        )
        ids = {retry_id, quic.host_cid}

        def on_connection_id(connection_id: bytes, is_valid: bool) -> None:
            if is_valid:
                self._by_id.pop(retry_id, None)  # given out after the handshake, which used it
                ids.add(connection_id)
                self._by_id[connection_id] = connection
            else:
                ids.discard(connection_id)
                self._by_id.pop(connection_id, None)

        def on_closed() -> None:
            self._handshaking.leave(connection)
            for connection_id in ids:
                self._by_id.pop(connection_id, None)

        connection = Connection(
            quic,
            self.endpoint.send,
            self._make_channel,
            on_connection_id=on_connection_id,
            on_closed=on_closed,
            keepalive_s=self._timing.edge_keepalive_s,
            timing=self._timing,
        )
        self._by_id |= dict.fromkeys(ids, connection)
        return connection

    def _make_channel(self, connection: Transport) -> Channel:
        return Session(
            connection,
            self._handshake,
            self,
            on_refused=self._policy.on_refused,
            now_ms=self._policy.now_ms,
            has_lanes=self._policy.has_lanes,
            timing=self._timing,
        ).channel


@contextlib.asynccontextmanager
async def listen(
    host: str,
    port: int,
    *,
    key: NodeKey,
    certificate_pem: str,
    policy: AdmissionPolicy,
    timing: Timing = DEFAULT_TIMING,
    limits: HandshakeLimits = DEFAULT_LIMITS,
    inherited: socket.socket | None = None,
) -> AsyncGenerator[Listener]:
    """Listen for agents while the context lasts; at its end their sessions are closed, DRAINING.

    Args:
        host: where to listen; `::` takes IPv4 too.
        port: UDP; 0 lets the system choose.
        key: the edge's.
        certificate_pem: the certificate that the hub names to agents.
        policy: decides which agents to admit.
        timing: of sessions and connections.
        limits: on connections without a Hello yet.
        inherited: a socket to be used instead; it is read once the endpoint is resumed.

    Raises:
        OSError: where the address is taken, or is not ours.
        Denied: CERTIFICATE_MISMATCH where the certificate is not for this key.
    """
    listener = Listener(
        inherited or bound_socket(await resolve(host, port), is_shared=True),
        edge_configuration(key, certificate_pem, timing),
        _check_identity(key, certificate_pem),
        key.derive(RESET_KEY),
        policy,
        timing=timing,
        limits=limits,
    )
    if inherited is not None:
        listener.endpoint.pause()
    with contextlib.closing(listener):
        yield listener


def _check_identity(key: NodeKey, certificate_pem: str) -> EdgeIdentity:
    edge = EdgeIdentity(EdgeId(key.public), certificate_pem, certificate_sha256(certificate_pem))
    edge.check()
    return edge
