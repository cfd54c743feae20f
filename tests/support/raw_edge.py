"""Edge that a hub names to agents, and that keeps no rule of the protocol."""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import override

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import pull_quic_header
from aioquic.quic.stream import QuicStream, StreamFinishedError
from support.lane_peers import LanePeer, accept_lane_on, receive
from support.ports import free_port
from support.raw_agent import patiently
from support.raw_quic import CONTROL, RawEnd, packet
from support.stack import Stack

from towonel.api.edges import EdgeRegisterIn
from towonel.client.hub import HubClient
from towonel.identity.certs import certificate_sha256, create_certificate
from towonel.identity.keys import NodeKey
from towonel.tunnel.core.handshake import EdgeIdentity
from towonel.tunnel.quic.configuration import edge_configuration
from towonel.wire.ids import EdgeId
from towonel.wire.lanes import HEAD_BYTES, PROBE_BYTES, FrameType, encode_head
from towonel.wire.messages import Challenge, Message, Welcome, encode
from towonel.wire.tokens import EdgeToken

type Address = tuple[str, int]
type Act = Callable[[LanePeer], object]
LANES = 5  # served at a time: of the threads that asyncio has
LANE_SECRET = b"s" * 32


class RawServer(QuicConnection):
    """QUIC server to whom a client may say anything about streams that it does not know."""

    @override
    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        if stream_id not in self._streams:
            raise StreamFinishedError
        return super()._get_or_create_stream(frame_type, stream_id)


class RawSession(RawEnd):
    """Session of an agent, which its edge opens as soon as the agent has said something."""

    def __init__(self, edge: "RawEdge", address: Address, quic: QuicConnection) -> None:
        self.quic = quic
        self.session_id = edge.make_id()
        self.is_open = False
        self._edge = edge
        self._address = address
        self._timer: asyncio.TimerHandle | None = None

    def say(self, *messages: Message) -> None:
        """Send messages on the control stream."""
        self.quic.send_stream_data(CONTROL, b"".join(map(encode, messages)))
        self.flush()

    def send(self, *frames: bytes) -> None:
        """Send one packet with these frames."""
        self._edge.send(packet(self.quic, *frames), self._address)

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
        sock, identity = self.tcp.accept()[0], self.identity
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(sock)
            sock.settimeout(1)
            edge = identity.edge_id, identity.certificate_sha256
            lane = accept_lane_on(sock, LANE_SECRET, *edge)
            probe = receive(sock, HEAD_BYTES + PROBE_BYTES)  # which shows that the lane works
            sock.sendall(encode_head(FrameType.PONG, 0, PROBE_BYTES) + probe[HEAD_BYTES:])
            on_failure.pop_all()
            return lane

    @contextlib.asynccontextmanager
    async def lanes(self, acts: Sequence[Act]) -> AsyncIterator[None]:
        """Admit lanes in threads, each of which does the next of these things over and over."""
        turns = itertools.cycle(acts)

        def serve() -> None:
            while self.tcp.fileno() >= 0:
                with contextlib.suppress(OSError, EOFError):
                    lane = self.accept_lane()
                    with lane.sock:
                        next(turns)(lane)

        threads = [asyncio.create_task(asyncio.to_thread(serve)) for _ in range(LANES)]
        try:
            yield
        finally:
            self.tcp.shutdown(socket.SHUT_RDWR)
            self.tcp.close()
            await asyncio.wait(threads)

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
        quic = RawServer(
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
