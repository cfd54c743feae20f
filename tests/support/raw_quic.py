"""QUIC client that does what it is told, whatever its peer allows: aioquic, and frames by hand."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, override

from aioquic.buffer import Buffer, encode_uint_var  # type: ignore[attr-defined]
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch
from support.stack import Stack, until

from towonel.api.services import DesiredState, ServiceIn
from towonel.client.hub import HubClient
from towonel.identity.certs import EDGE_SERVER_NAME
from towonel.identity.keys import NodeKey, TenantKey
from towonel.tunnel.core.handshake import AgentHandshake, EdgeIdentity
from towonel.tunnel.quic.configuration import ALPN
from towonel.wire import base64url
from towonel.wire.ids import EdgeId
from towonel.wire.messages import Challenge, Decoder, Hello, Message, Welcome, encode
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.tokens import InviteToken

CONTROL = 1
PING, CRYPTO, STREAM, RESET = 0x01, 0x06, 0x0E, 0x04  # a STREAM frame with offset and length


class StingyQuic(QuicConnection):
    """Connection whose own windows stay as they are."""

    @override
    def _write_connection_limits(self, *_: Any, **__: Any) -> None:
        return

    @override
    def _write_stream_limits(self, *_: Any, **__: Any) -> None:
        return


class RawQuic:
    """A client of an edge on loopback, from an address of the test's choice."""

    def __init__(self, port: int, source: str = "127.0.0.1", window: int = 2**20) -> None:
        self._edge = ("127.0.0.1", port)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind((source, 0))
        self._loop = asyncio.get_running_loop()
        self.quic = StingyQuic(
            configuration=QuicConfiguration(
                alpn_protocols=[ALPN],
                is_client=True,
                server_name=EDGE_SERVER_NAME,
                verify_mode=ssl.CERT_NONE,
                max_data=window,
                max_stream_data=window,
            )
        )
        self.sent: list[bytes] = []  # datagrams, in order
        self.seen: list[events.QuicEvent] = []
        self.data: dict[int, bytearray] = {}  # by stream
        self.is_acknowledging = True
        self.stops_after_retry = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop.add_reader(self._sock.fileno(), self._receive)
        self.quic.connect(self._edge, now=self._loop.time())
        self.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._sock.close()

    def _stop(self) -> None:
        """Hear nothing more, and say nothing unless told to."""
        self.is_acknowledging = False
        self._loop.remove_reader(self._sock.fileno())
        if self._timer is not None:
            self._timer.cancel()

    async def connected(self) -> None:
        """Wait until the handshake is complete."""
        await self.until(lambda: self.has_seen(events.HandshakeCompleted))

    async def until(self, condition: Callable[[], object], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.005)

    def has_seen(self, kind: type[events.QuicEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.seen)

    @property
    def is_closed(self) -> bool:
        """Whether the edge has said that the connection is over."""
        return self.quic._close_event is not None

    @property
    def close_code(self) -> int | None:
        event = self.quic._close_event
        return None if event is None else event.error_code

    def flush(self) -> None:
        """Send what aioquic has to send."""
        if not self.is_acknowledging:
            return
        for data, _ in self.quic.datagrams_to_send(now=self._loop.time()):
            self.send_datagram(data)
        self._arm()

    def send_datagram(self, data: bytes) -> None:
        self.sent.append(data)
        with contextlib.suppress(OSError):
            self._sock.sendto(data, self._edge)

    def send(self, *frames: bytes, epoch: Epoch = Epoch.ONE_RTT) -> None:
        """Send one packet with these frames."""
        quic = self.quic
        kinds = {Epoch.ONE_RTT: QuicPacketType.ONE_RTT, Epoch.HANDSHAKE: QuicPacketType.HANDSHAKE}
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            peer_cid=quic._peer_cid.cid,
            version=quic._version or 1,
            is_client=True,
            max_datagram_size=1200,
            packet_number=quic._packet_number,
        )
        builder.start_packet(kinds[epoch], quic._cryptos[epoch])
        for frame in frames:
            builder.start_frame(frame[0], capacity=len(frame)).push_bytes(frame[1:])
        datagrams, _ = builder.flush()
        quic._packet_number = builder.packet_number
        for data in datagrams:
            self.send_datagram(data)

    def _receive(self) -> None:
        for _ in range(200):
            try:
                data = self._sock.recv(9216)
            except OSError:
                break
            self.quic.receive_datagram(data, self._edge, now=self._loop.time())
            self._take_events()
        self.flush()
        if self.stops_after_retry and self.quic._retry_count:
            self._stop()

    def _take_events(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                self.data.setdefault(event.stream_id, bytearray()).extend(event.data)
            else:
                self.seen.append(event)

    def _arm(self) -> None:
        due = self.quic.get_timer()
        if self._timer is not None:
            self._timer.cancel()
        if due is not None:
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self.quic.handle_timer(now=self._loop.time())
        self._take_events()
        self.flush()


def stream_frame(stream_id: int, offset: int, data: bytes, *, is_end: bool = False) -> bytes:
    """A STREAM frame; RFC 9000 §19.8."""
    head = encode_uint_var(stream_id) + encode_uint_var(offset) + encode_uint_var(len(data))
    return bytes([STREAM | is_end]) + head + data


def crypto_frame(offset: int, data: bytes) -> bytes:
    """A CRYPTO frame; RFC 9000 §19.6."""
    return bytes([CRYPTO]) + encode_uint_var(offset) + encode_uint_var(len(data)) + data


def frame(kind: int, *numbers: int) -> bytes:
    """A frame of integers."""
    return bytes([kind]) + b"".join(encode_uint_var(number) for number in numbers)


def uint_var(data: bytes) -> int:
    return int(Buffer(data=data).pull_uint_var())


class RawAgent(RawQuic):
    """An admitted agent that keeps no rule of the protocol."""

    def __init__(self, port: int, source: str = "127.0.0.1", window: int = 2**20) -> None:
        super().__init__(port, source, window)
        self._decoder = Decoder()
        self._read = 0
        self.messages: list[Message] = []

    async def message(self, kind: type[Message]) -> Message:
        """The first message of a kind."""
        found: list[Message] = []

        def came() -> bool:
            control = self.data.get(CONTROL, bytearray())
            self.messages += self._decoder.feed(bytes(control[self._read :]))
            self._read = len(control)
            found[:] = [message for message in self.messages if isinstance(message, kind)]
            return bool(found)

        await self.until(lambda: came() or self.is_closed)
        if not found:
            raise ConnectionError(f"the edge has closed with {self.close_code}")
        return found[0]

    def say(self, *messages: Message) -> None:
        """Send messages on the control stream."""
        for message in messages:
            self.quic.send_stream_data(CONTROL, encode(message))
        self.flush()

    def control_frame(self, *messages: Message) -> bytes:
        """A STREAM frame with messages; what `say` sends afterwards would overwrite them."""
        data = b"".join(map(encode, messages))
        sender = self.quic._streams[CONTROL].sender
        offset, sender._buffer_stop = sender._buffer_stop, sender._buffer_stop + len(data)
        return stream_frame(CONTROL, offset, data)

    async def hello(self, identity: "AgentIdentity", hostname: str) -> None:
        challenge = await self.message(Challenge)
        assert isinstance(challenge, Challenge)
        self.say(identity.answer(challenge, hostname))
        await self.message(Welcome)


class AgentIdentity:
    """What a hub has given an agent."""

    def __init__(self, token: str) -> None:
        self.token = InviteToken.decode(token)
        self.tenant = TenantKey.from_seed(self.token.seed)
        self.key = NodeKey.from_seed(ssl.RAND_bytes(32))
        self.grant = b""
        self.edge: EdgeIdentity | None = None

    async def bootstrap(self, hub: HubClient, group: str = "raw") -> "AgentIdentity":
        answer = await hub.bootstrap(self.token, self.key, group)
        assert answer.grant
        self.grant = base64url.decode(answer.grant)
        services = [ServiceIn(kind="https", name=name) for name in answer.hostnames]
        await hub.apply_desired_state(self.tenant, DesiredState(group=group, services=services))
        edge = answer.edges[0]
        self.edge = EdgeIdentity(
            EdgeId(edge.edge_id), edge.certificate_pem, edge.certificate_sha256
        )
        return self

    def answer(self, challenge: Challenge, hostname: str) -> Hello:
        assert self.edge
        services = [ServiceKey(ServiceKind.HTTPS, hostname)]
        return AgentHandshake(self.key, self.grant, services, "raw").answer(challenge, self.edge)


@contextlib.asynccontextmanager
async def raw_agent(stack: Stack, token: str, hostname: str) -> AsyncIterator[RawAgent]:
    """An agent that the edge has admitted."""
    async with HubClient(stack.hub_url) as hub:
        identity = await AgentIdentity(token).bootstrap(hub)
    await until(stack.edges_are_up_to_date)
    agent = RawAgent(stack.edge_port)
    with agent:
        await agent.connected()
        await agent.hello(identity, hostname)
        yield agent
