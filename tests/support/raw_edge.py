"""Edge that a hub names to agents, and that keeps no rule of the protocol."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import pull_quic_header
from support.lane_peers import LanePeer, accept_lane_on
from support.ports import free_port
from support.raw_agent import patiently
from support.raw_quic import CONTROL, packet
from support.stack import Stack

from towonel.api.edges import EdgeRegisterIn
from towonel.client.hub import HubClient
from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.tunnel.quic.configuration import edge_configuration
from towonel.wire.ids import EdgeId
from towonel.wire.messages import Challenge, Message, Welcome, encode
from towonel.wire.tokens import EdgeToken

type Address = tuple[str, int]
LANE_SECRET = b"s" * 32


class RawSession:
    """Session of an agent, which its edge opens as soon as the agent has said something."""

    def __init__(self, edge: "RawEdge", address: Address, quic: QuicConnection) -> None:
        self.quic = quic
        self.session_id = edge.make_id()
        self.is_open = False
        self._edge = edge
        self._address = address
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_closed(self) -> bool:
        return self.quic._close_event is not None

    @property
    def close_code(self) -> int | None:
        event = self.quic._close_event
        return None if event is None else event.error_code

    def say(self, *messages: Message) -> None:
        """Send messages on the control stream."""
        self.quic.send_stream_data(CONTROL, b"".join(map(encode, messages)))
        self.flush()

    def send(self, *frames: bytes) -> None:
        """Send one packet with these frames."""
        self._edge.send(packet(self.quic, *frames, is_client=False), self._address)

    def close(self) -> None:
        self.quic.close()
        self.flush()

    def flush(self) -> None:
        loop = asyncio.get_running_loop()
        for data, address in self.quic.datagrams_to_send(now=loop.time()):
            self._edge.send(data, address)
        if self._timer is not None:
            self._timer.cancel()
        if (due := self.quic.get_timer()) is not None:
            self._timer = loop.call_at(due, self._tick)

    def receive(self, data: bytes) -> None:
        self.quic.receive_datagram(data, self._address, now=asyncio.get_running_loop().time())
        while (event := self.quic.next_event()) is not None:
            self._take(event)
        self.flush()

    def _take(self, event: events.QuicEvent) -> None:
        if isinstance(event, events.HandshakeCompleted):
            self.say(Challenge((1,), bytes(32), self._edge.key.public))
        elif isinstance(event, events.StreamDataReceived) and not self.is_open:
            self.is_open = True  # whatever the Hello says
            self.say(Welcome(self.session_id, LANE_SECRET))
            self._edge.on_open(self)

    def _tick(self) -> None:
        self.quic.handle_timer(now=asyncio.get_running_loop().time())
        self.flush()


@dataclass
class RawEdge:
    """An edge on loopback: sessions over QUIC, and lanes to the same port."""

    key: NodeKey
    port: int = field(default_factory=free_port)
    sessions: list[RawSession] = field(default_factory=list[RawSession])
    make_id: Callable[[], bytes] = lambda: os.urandom(16)
    on_open: Callable[[RawSession], object] = lambda _session: None

    def __post_init__(self) -> None:
        self.certificate = create_certificate(self.key, datetime(2026, 1, 1, tzinfo=UTC))
        digest = certificate_sha256(self.certificate)
        self.identity = EdgeIdentity(EdgeId(self.key.public), self.certificate, digest)
        self._by_address: dict[Address, RawSession] = {}
        self._exits = contextlib.ExitStack()
        self.udp = self._exits.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        self.tcp = self._exits.enter_context(socket.create_server(("127.0.0.1", self.port)))
        self.udp.bind(("127.0.0.1", self.port))
        self.udp.setblocking(False)
        asyncio.get_running_loop().add_reader(self.udp, self._receive)

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        asyncio.get_running_loop().remove_reader(self.udp)
        self._exits.close()

    def send(self, data: bytes, address: Address) -> None:
        with contextlib.suppress(OSError):
            self.udp.sendto(data, address)

    def accept_lane(self) -> LanePeer:
        """Admit the next lane of an agent; it blocks."""
        sock = self.tcp.accept()[0]
        sock.settimeout(5)
        identity = self.identity
        return accept_lane_on(sock, LANE_SECRET, identity.edge_id, identity.certificate_sha256)

    def _receive(self) -> None:
        for _ in range(200):
            try:
                data, address = self.udp.recvfrom(9216)
            except OSError:
                return
            session = self._by_address.get(address) or self._begin(data, address)
            session.receive(data)

    def _begin(self, data: bytes, address: Address) -> RawSession:
        header = pull_quic_header(Buffer(data=data), host_cid_length=8)
        quic = QuicConnection(
            configuration=edge_configuration(self.key, self.certificate),
            original_destination_connection_id=header.destination_cid,
        )
        session = self._by_address[address] = RawSession(self, address, quic)
        self.sessions.append(session)
        return session


@contextlib.asynccontextmanager
async def raw_edge(stack: Stack, name: str) -> AsyncIterator[RawEdge]:
    """An edge that the hub names to the agents that start from now on."""
    async with stack.operator() as operator, HubClient(stack.hub_url) as hub:
        invite = await operator.edge_invites.create(name)
        edge = RawEdge(NodeKey.from_seed(EdgeToken.decode(invite.token).seed))
        address = f"127.0.0.1:{edge.port}"
        body = EdgeRegisterIn(addresses=[address], certificate_pem=edge.certificate, version="1")
        try:
            await patiently(lambda: hub.register_edge(edge.key, body))
            yield edge
        finally:
            edge.close()
            await operator.edge_invites.revoke(invite.invite_id)
