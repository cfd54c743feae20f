"""Dial of an origin for a client that came over a lane, and what its connection begins with."""

import ssl
from dataclasses import dataclass, field
from socket import SocketType
from typing import TYPE_CHECKING, override

from towonel.agent.core.origin_addresses import OriginAddresses
from towonel.agent.core.origin_attempts import SocketAddress
from towonel.agent.core.origin_table import pick_port
from towonel.agent.core.proxy_header import encode_proxy_header
from towonel.agent.core.tls.origin_tls import NO_PROTOCOL, OriginTls
from towonel.agent.tls.origin_contexts import describe_handshake_error
from towonel.agent.worker.messages import Ports
from towonel.agent.worker.origin_connection import OriginConnection
from towonel.agent.worker.secure_dial import SecureDial
from towonel.relay.agent_lanes import AgentLane
from towonel.relay.tls.tls_socket import TlsSocket
from towonel.wire.errors import Code
from towonel.wire.lane_open import LaneOpen
from towonel.wire.names import ServiceKey
from towonel.wire.preamble import HTTP_2

if TYPE_CHECKING:
    from towonel.agent.worker.clients import Clients


@dataclass(slots=True)
class WorkerOrigin:
    """Origin of a service, and the clients that wait for its addresses."""

    service: ServiceKey
    proxied: bool
    addresses: OriginAddresses
    idle_s: float
    ports: Ports | None = None
    tls: OriginTls | None = None
    waiting: set["ClientDial"] = field(default_factory=set["ClientDial"])


class ClientDial(SecureDial):
    """Dial of the origin of one client."""

    def __init__(
        self,
        clients: "Clients",
        lane: AgentLane,
        origin: WorkerOrigin,
        opened: LaneOpen,
        context: ssl.SSLContext | None,
    ) -> None:
        timeout_s = clients.start.origin_timeout_s
        super().__init__(origin.addresses, clients.loop, timeout_s, clients.memory.hop)
        self.lane = lane
        self.origin = origin
        self._clients = clients
        self._opened = opened
        self._context = context

    @override
    def pick_port(self, address: SocketAddress) -> SocketAddress:
        return pick_port(address, self.origin, self._opened.preamble)

    @override
    def secure(self, sock: SocketType) -> TlsSocket | None:
        tls, context = self.origin.tls, self._context
        if tls is None or context is None:
            return None
        memory, header = self._clients.tls_memory, self._encode_header()
        return TlsSocket(sock, context, memory, server_name=tls.server_name, before=header)

    @override
    def on_handshake(self, sock: TlsSocket, events: int) -> None:
        if self._opened.preamble.protocol == HTTP_2 and sock.protocol != HTTP_2:
            self.on_handshake_failed(ConnectionAbortedError(NO_PROTOCOL))
        else:
            super().on_handshake(sock, events)

    @override
    def describe_failure(self, error: OSError) -> str:
        tls = self.origin.tls
        assert tls is not None, "there was a handshake"
        return describe_handshake_error(tls, error, proxied=self.origin.proxied)

    def _encode_header(self) -> bytes:
        return encode_proxy_header(self._opened.preamble) if self.origin.proxied else b""

    @override
    def on_connected(self, sock: SocketType, events: int) -> None:
        origin, opened, lane = self.origin, self._opened, self.lane
        header = self._encode_header()
        if self._context is not None:
            header = b""  # it went before the handshake
        connection = OriginConnection(
            sock, lane, self._clients, origin.service, header, origin.idle_s
        )
        self.loop.replace(connection.descriptor, connection)
        self._clients.relay(self, connection)
        connection.begin(opened.first)
        connection.on_ready(events)  # the origin may have spoken, or ended, already
        lane.accept(connection)

    @override
    def on_failed(self, code: Code, detail: str = "") -> None:
        self._clients.refuse(self, code, detail)

    @override
    def on_given_up(self, code: Code) -> None:
        self._clients.forget(self, code)

    @override
    def crash(self, error: Exception) -> None:
        self._clients.report_crash(error)
        if not self.over:
            self.end_by(Code.INTERNAL)

    @override
    def look_up(self) -> None:
        self._clients.look_up(self, self.origin)
