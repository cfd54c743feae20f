"""QUIC client that does what it is told, whatever its peer allows: aioquic, and frames by hand."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Self, override

from aioquic.buffer import Buffer, encode_uint_var  # type: ignore[attr-defined]
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch

from towonel.tunnel.quic.configuration import ALPN
from towonel.wire.addresses import EDGE_SERVER_NAME

CONTROL = 1
PING, CRYPTO, STREAM, RESET = 0x01, 0x06, 0x0E, 0x04  # a STREAM frame with offset and length

KINDS = {
    Epoch.INITIAL: QuicPacketType.INITIAL,
    Epoch.HANDSHAKE: QuicPacketType.HANDSHAKE,
    Epoch.ONE_RTT: QuicPacketType.ONE_RTT,
}


class StingyQuic(QuicConnection):
    """Connection whose own windows stay as they are."""

    @override
    def _write_connection_limits(self, *_: Any, **__: Any) -> None:
        return

    @override
    def _write_stream_limits(self, *_: Any, **__: Any) -> None:
        return


class RawEnd:
    """One end of a QUIC connection, spoken by a test: whether and how it is over."""

    quic: QuicConnection

    @property
    def is_closed(self) -> bool:
        """Whether either end has said that the connection is over."""
        return self.quic._close_event is not None

    @property
    def close_code(self) -> int | None:
        event = self.quic._close_event
        return None if event is None else event.error_code


class RawQuic(RawEnd):
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

    def leave(self) -> None:
        """Close as an honest client does."""
        self.quic.close()
        self.flush()

    def has_seen(self, kind: type[events.QuicEvent]) -> bool:
        return any(isinstance(event, kind) for event in self.seen)

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
        self.send_datagram(packet(self.quic, *frames, epoch=epoch))

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


def packet(quic: QuicConnection, *frames: bytes, epoch: Epoch = Epoch.ONE_RTT) -> bytes:
    """A packet with these frames, of which the sender's own state knows nothing."""
    builder = QuicPacketBuilder(
        host_cid=quic.host_cid,
        peer_cid=quic._peer_cid.cid,
        version=quic._version or 1,
        is_client=quic._is_client,
        max_datagram_size=1200,
        packet_number=quic._packet_number,
    )
    builder.start_packet(KINDS[epoch], quic._cryptos[epoch])
    for each in frames:
        builder.start_frame(each[0], capacity=len(each)).push_bytes(each[1:])
    datagrams, _ = builder.flush()
    quic._packet_number = builder.packet_number
    return datagrams[0]


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
