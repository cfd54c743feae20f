"""QUIC connection whose memory has bounds of our own: aioquic's state machine, with less trust.

aioquic doubles its receive windows by what arrived, fills gaps with zeros, and keeps a few lists for
as long as a peer makes them grow. This subclass replaces those parts, and nothing else; the bounds
are listed in docs/security.md. It reaches into aioquic: test_bounded_connection.py fails where an
upgrade renames what it overrides.
"""

from collections.abc import Callable
from typing import override

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage] its documented home
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    Limit,
    NetworkAddress,
)
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from towonel.tunnel.core.bounds.receive_windows import (
    CONTROL_RESERVE_BYTES,
    HANDSHAKE_SIZES,
    ReceiveWindows,
    WindowSizes,
)
from towonel.tunnel.core.bounds.send_budget import MAX_SESSION_BYTES, SendBudget
from towonel.tunnel.core.stream_ids import CONTROL_STREAM
from towonel.tunnel.quic.bounded_stream import BoundedReceiver, BoundedSender, PacketRefused
from towonel.tunnel.quic.checked_connection import MAX_CRYPTO_BYTES, CheckedConnection
from towonel.tunnel.quic.stateless_reset import STATELESS_RESET, is_reset

TLS_OUTPUT_BYTES = 4096  # ours at each level: a certificate and a proof take a quarter of it
MAX_RETAINED_ACKS = 256  # packets with nothing but an acknowledgement, which a peer need not answer

RETAINED_AFTER_END = frozenset(  # what a late call about a stream is answered from
    {
        "_is_client",
        "_local_max_streams_bidi",
        "_local_max_streams_uni",
        "_local_next_stream_id_bidi",
        "_local_next_stream_id_uni",
        "_network_paths",
        "last_received_at",
        "send_budget",
    }
)

type MakeResetToken = Callable[[bytes], bytes]


class BoundedConnection(CheckedConnection):
    """QUIC connection with bounds.

    Args:
        configuration: of this end.
        windows: until `widen`.
        streams: bidirectional ones that the peer may have open; it may open no others.
        make_reset_token: by connection id, at an edge.
        original_id: at an edge, the connection id that the client chose at first.
        retry_id: at an edge, the one that it was told in a Retry.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        windows: WindowSizes,
        *,
        streams: int,
        make_reset_token: MakeResetToken | None = None,
        original_id: bytes | None = None,
        retry_id: bytes | None = None,
    ) -> None:
        super().__init__(configuration, original_id, retry_id)
        self._make_reset_token = make_reset_token
        self._windows = ReceiveWindows(windows)
        self.send_budget = SendBudget(MAX_SESSION_BYTES)
        self.receive_share = self._windows.share
        self._set_limits(windows, streams)
        self._set_reset_tokens()

    @property
    def stream_count(self) -> int:
        """Number of streams that aioquic still keeps."""
        return len(self._streams)

    def widen(self, sizes: WindowSizes) -> None:
        """Let the peer send more from now on: it was admitted."""
        self._windows.sizes = sizes
        for stream in self._streams.values():
            if isinstance(stream.receiver, BoundedReceiver):
                stream.receiver.widen()

    def budget_of(self, stream_id: int) -> SendBudget:
        """Return the budget of what is sent on a stream."""
        stream = self._streams.get(stream_id)
        sender = None if stream is None else stream.sender
        return sender.budget if isinstance(sender, BoundedSender) else self.send_budget

    def release(self) -> None:
        """Drop what an ended connection held; its streams are known as finished ones.

        aioquic refers to itself from its callbacks, so that it would otherwise stay for as long as
        the collector of cycles pleases: hundreds of connections, where strangers come and go.
        """
        retained = {
            name: value for name, value in self.__dict__.items() if name in RETAINED_AFTER_END
        }
        self.__dict__.clear()
        self.__dict__.update(retained, _streams={})

    @override
    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        if self._is_client and self._is_reset(data):
            self._close_event = STATELESS_RESET
            self._close_end()
            return
        try:
            super().receive_datagram(data, addr, now)
        except PacketRefused:
            return  # not acknowledged, so that an honest peer sends it again

    @override
    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        datagrams = super().datagrams_to_send(now)
        for space in self._spaces.values():
            if len(space.sent_packets) - space.ack_eliciting_in_flight > 2 * MAX_RETAINED_ACKS:
                _forget_acks(space)
        return datagrams

    def _is_reset(self, data: bytes) -> bool:
        """Whether a datagram for an unknown id ends with a token of the peer.

        After the peer has said why it closes, its resets answer what crossed that on the way.
        """
        for own_id in self._host_cids:
            if data.startswith(own_id.cid, 1):
                return False
        if self._close_event is not None:
            return False
        peer_ids = [self._peer_cid, *self._peer_cid_available]
        return is_reset(data, [peer_id.stateless_reset_token for peer_id in peer_ids])

    def _set_limits(self, windows: WindowSizes, streams: int) -> None:
        self._local_max_data.value = self._local_max_data.sent = windows.connection_bytes
        self._local_max_stream_data_bidi_local = windows.stream_bytes
        self._local_max_stream_data_bidi_remote = windows.stream_bytes
        self._local_max_stream_data_uni = 0
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = streams
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 0

    def _set_reset_tokens(self) -> None:
        """Give the connection ids tokens that this edge still knows when it was started again."""
        if self._make_reset_token is not None:
            for connection_id in self._host_cids:
                if not connection_id.was_sent or connection_id.sequence_number == 0:
                    token = self._make_reset_token(connection_id.cid)
                    connection_id.stateless_reset_token = token

    @override
    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self._crypto_buffers = {
            epoch: Buffer(capacity=TLS_OUTPUT_BYTES) for epoch in self._crypto_buffers
        }
        handshake = ReceiveWindows(HANDSHAKE_SIZES)
        for stream in self._crypto_streams.values():
            stream.receiver = BoundedReceiver(None, handshake, MAX_CRYPTO_BYTES)

    @override
    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        self._set_reset_tokens()

    @override
    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        found = self._streams.get(stream_id)
        if found is not None:
            self._record_frame(frame_type, stream_id)
            return found
        count = len(self._streams)
        stream = super()._get_or_create_stream(frame_type, stream_id)
        for created in self._streams_queue[count - len(self._streams) :]:
            self._bound(created)
        return stream

    @override
    def _get_or_create_stream_for_send(self, stream_id: int) -> QuicStream:
        found = self._streams.get(stream_id)
        if found is not None:
            return found
        stream = super()._get_or_create_stream_for_send(stream_id)
        self._bound(stream).widen()
        return stream

    def _bound(self, stream: QuicStream) -> BoundedReceiver:
        """Replace both halves of a new stream."""
        self._frame_budget.record_stream()
        limit = stream.max_stream_data_local
        stream.receiver = receiver = BoundedReceiver(stream.stream_id, self._windows, limit)
        stream.sender = BoundedSender(stream.stream_id, self.send_budget)
        return receiver

    @override
    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        data = self._local_max_data
        data.value = self._windows.connection_limit(data.value)
        if data.value != data.sent:
            self._write_limit(builder, data)
        # Announced together: not while the peer has more streams left than it would get.
        streams = self._local_max_streams_bidi
        if streams.sent - streams.used < streams.value - streams.sent:
            self._write_limit(builder, streams)

    def _write_limit(self, builder: QuicPacketBuilder, limit: Limit) -> None:
        frame = builder.start_frame(
            limit.frame_type,
            capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        frame.push_uint_var(limit.value)
        limit.sent = limit.value

    @override
    def _write_stream_frame(
        self,
        builder: QuicPacketBuilder,
        space: QuicPacketSpace,
        stream: QuicStream,
        max_offset: int,
    ) -> int:
        """Send on a stream, and leave a part of the credit for all of them to control messages."""
        if stream.stream_id != CONTROL_STREAM:
            left = self._remote_max_data - self._remote_max_data_used - CONTROL_RESERVE_BYTES
            max_offset = min(max_offset, stream.sender.highest_offset + max(left, 0))
        return super()._write_stream_frame(builder, space, stream, max_offset)

    @override
    def _write_stream_limits(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> None:
        receiver = stream.receiver
        assert isinstance(receiver, BoundedReceiver), "every stream is bounded where it is created"
        if stream.max_stream_data_local_sent == receiver.limit or receiver.is_finished:
            return
        frame = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
            handler=self._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        assert stream.stream_id is not None, "only the streams of TLS have none"
        frame.push_uint_var(stream.stream_id)
        frame.push_uint_var(receiver.limit)
        stream.max_stream_data_local = stream.max_stream_data_local_sent = receiver.limit


def _forget_acks(space: QuicPacketSpace) -> None:
    """Forget packets that a peer need not acknowledge, but for the newest."""
    acks = [number for number, packet in space.sent_packets.items() if not packet.in_flight]
    for number in acks[:-MAX_RETAINED_ACKS]:
        del space.sent_packets[number]
