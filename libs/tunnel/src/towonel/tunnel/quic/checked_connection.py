"""QUIC connection that checks what a peer puts into datagrams, packets and frames.

aioquic reads whatever is there: dozens of packets in a datagram, a thousand frames in a packet, hundreds
of ranges in an acknowledgement, each of which costs the time of a whole one, or a part of it; and it
believes a few frames that cannot be true.
"""

from collections.abc import Mapping
from typing import Any, override

from aioquic.buffer import Buffer, encode_uint_var  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage] its documented home
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    NetworkAddress,
    QuicConnection,
    QuicConnectionError,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, pull_quic_header
from aioquic.quic.recovery import MAX_ACK_RANGES

from towonel.tunnel.core.bounds.frame_budget import PER_PACKET, FrameBudget
from towonel.tunnel.core.bounds.receive_windows import HANDSHAKE_SIZES
from towonel.wire.errors import Code

MAX_CRYPTO_BYTES = HANDSHAKE_SIZES.stream_bytes  # at each level of encryption, in all
MAX_PEER_IDS = 1024  # connection ids that a peer may have issued and retired
MAX_PACKETS = 4  # of one datagram: one of each kind of keys, and one more; RFC 9000 §12.2
HEAVY_FRAMES = 4  # that a retired id counts for beside itself, and one key of an update: hashes
LONG_HEADER = 0x80  # of packets before and in the handshake, which others may follow
_STREAM, _STREAM_MASK = 0x08, 0x18  # STREAM frames have eight types; RFC 9000 §19.8
_KINDS = 64  # above each type of frame that concerns a stream
NO_FRAME_TYPE: Any = None  # closes with a code of ours; aioquic's annotation does not allow it


class FrameCounter(dict[int, Any]):
    """Handlers of frames by their types, which count how often they are asked for.

    Args:
        handlers: of aioquic.
    """

    def __init__(self, handlers: Mapping[int, Any]) -> None:
        super().__init__(handlers)
        self.count = 0
        self._carrying: set[int] = set()

    def end_packet(self) -> int:
        """Return the number of frames of this packet beside those of open streams, and begin anew."""
        excess = self.count - len(self._carrying)
        self.count = 0
        self._carrying.clear()
        return excess

    def record(self, frame_type: int, stream_id: int) -> None:
        """Count a frame that concerns an open stream; one more of its kind for the same is an excess."""
        kind = _STREAM if frame_type & _STREAM_MASK == _STREAM else frame_type
        self._carrying.add(stream_id * _KINDS + kind)

    @override
    def __getitem__(self, frame_type: int) -> Any:
        self.count += 1
        return super().__getitem__(frame_type)


class CheckedConnection(QuicConnection):
    """QUIC connection that reads so many packets and frames, and closes on frames that cannot be.

    Args:
        configuration: of this end.
        original_id: at an edge, the connection id that the client chose at first.
        retry_id: at an edge, the one that it was told in a Retry.
    """

    def __init__(
        self, configuration: QuicConfiguration, original_id: bytes | None, retry_id: bytes | None
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_id,
            retry_source_connection_id=retry_id,
        )
        self._frames = FrameCounter(self._QuicConnection__frame_handlers)
        self._QuicConnection__frame_handlers: Any = self._frames
        self._frame_budget = FrameBudget()
        self._ack_ranges_left = MAX_ACK_RANGES  # in this packet
        self.last_received_at: float | None = None  # a packet that only the peer can have sent

    @override
    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        if data and data[0] & LONG_HEADER:
            data = first_packets(data)
        super().receive_datagram(data, addr, now)

    @override
    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        try:
            kinds = super()._payload_received(context, plain, crypto_frame_required)
        finally:  # a packet that is refused took as long
            self._ack_ranges_left = MAX_ACK_RANGES
            is_within = self._frame_budget.spend(self._frames.end_packet())
        if not is_within:
            raise QuicConnectionError(Code.RATE_LIMITED, NO_FRAME_TYPE, "frames without end")
        self.last_received_at = context.time
        return kinds

    def _record_frame(self, frame_type: int, stream_id: int) -> None:
        """Count a frame that concerns an open stream, where there are many."""
        if self._frames.count > PER_PACKET:
            self._frames.record(frame_type, stream_id)

    @override
    def _handle_ack_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        largest, _, ranges = _peek_numbers(buf, 3)
        if largest >= self._packet_number:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, "acknowledges what was not sent"
            )
        if ranges > self._ack_ranges_left:
            buf = shorten_ack(frame_type, buf, self._ack_ranges_left)
            ranges = self._ack_ranges_left
        self._ack_ranges_left -= ranges
        super()._handle_ack_frame(context, frame_type, buf)

    @override
    def _handle_retire_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        self._frames.count += HEAVY_FRAMES
        super()._handle_retire_connection_id_frame(context, frame_type, buf)

    @override
    def _log_key_updated(self, key_type: str, trigger: str) -> None:
        """Count the update of a key that the peer began."""
        if trigger == "remote_update":
            self._frames.count += HEAVY_FRAMES
        super()._log_key_updated(key_type, trigger)

    @override
    def _handle_crypto_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        offset, length = _peek_numbers(buf, 2)
        if offset + length > MAX_CRYPTO_BYTES:
            raise QuicConnectionError(
                QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type, "TLS messages without end"
            )
        super()._handle_crypto_frame(context, frame_type, buf)

    @override
    def _handle_new_connection_id_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        super()._handle_new_connection_id_frame(context, frame_type, buf)
        if len(self._peer_cid_sequence_numbers) > MAX_PEER_IDS:
            raise QuicConnectionError(
                QuicErrorCode.CONNECTION_ID_LIMIT_ERROR, frame_type, "connection ids without end"
            )

    @override
    def _probe_preferred_address(self) -> None:
        """Stay at the address that was dialled: another one could be any in the agent's network."""
        self._remote_preferred_address = None


def first_packets(data: bytes) -> bytes:
    """Return a datagram with a long header without what follows its first packets."""
    buffer = Buffer(data=data)
    try:
        for _ in range(MAX_PACKETS):
            if buffer.eof():
                return data
            start = buffer.tell()
            header = pull_quic_header(buffer, host_cid_length=0)
            buffer.seek(start + header.packet_length)
    except ValueError:
        return data  # which aioquic does not read any further than this, either
    return data[: buffer.tell()]


def shorten_ack(frame_type: int, buffer: Buffer, ranges: int) -> Buffer:
    """Read an ACK frame, and return one with its newest ranges; what the others say is not needed.

    An honest peer says it again, and in time what it says no more is sent again.
    """
    largest, delay, count, first = (buffer.pull_uint_var() for _ in range(4))
    start = buffer.tell()
    for _ in range(2 * ranges):
        buffer.pull_uint_var()
    newest = buffer.data_slice(start, buffer.tell())
    for _ in range(2 * (count - ranges)):
        buffer.pull_uint_var()
    start = buffer.tell()
    for _ in range(3 * (frame_type == QuicFrameType.ACK_ECN)):
        buffer.pull_uint_var()
    counts = buffer.data_slice(start, buffer.tell())
    head = b"".join(map(encode_uint_var, (largest, delay, ranges, first)))
    return Buffer(data=head + newest + counts)


def _peek_numbers(buf: Buffer, count: int) -> list[int]:
    """Return the first numbers of a frame, and leave them there for aioquic."""
    start = buf.tell()
    numbers = [buf.pull_uint_var() for _ in range(count)]
    buf.seek(start)
    return numbers
