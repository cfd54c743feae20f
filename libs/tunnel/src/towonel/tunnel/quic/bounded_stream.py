"""Halves of a QUIC stream that bound what a peer makes them hold.

aioquic keeps what arrives out of order, with zeros where bytes are missing, what is not acknowledged,
and both of them on a stream that was reset, for as long as the peer likes. These halves hold what
came and no zeros, count it where a connection can see it, and drop what nobody can need any more.
"""

from typing import override

from aioquic.quic.events import StreamDataReceived, StreamReset
from aioquic.quic.packet import QuicErrorCode, QuicStreamFrame
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.stream import FinalSizeError, QuicStreamReceiver, QuicStreamSender

from towonel.tunnel.core.bounds.receive_windows import ReceiveWindows
from towonel.tunnel.core.bounds.send_budget import MAX_STREAM_BYTES, SendBudget
from towonel.tunnel.core.stream_ids import CONTROL_STREAM
from towonel.tunnel.quic.sparse_buffer import SparseBuffer


class PacketRefused(Exception):
    """Packet that is dropped as if it had been lost: it would open one gap too many."""


class BoundedReceiver(QuicStreamReceiver):
    """Receiving half.

    Args:
        stream_id: None for the TLS handshake.
        windows: that all streams of the connection share.
        limit: that the peer was told.
    """

    def __init__(self, stream_id: int | None, windows: ReceiveWindows, limit: int) -> None:
        super().__init__(stream_id=stream_id, readable=True)
        self._windows = windows
        self._fragments = SparseBuffer()
        self.limit = limit

    def slide(self) -> None:
        """Raise the limit, if so much was delivered that it is due."""
        self.limit = self._windows.stream_limit(self.limit, self._buffer_start)

    def widen(self) -> None:
        """Raise the limit by the whole window: the peer was admitted, or is told with other news."""
        self.limit = self._windows.widest_limit(self.limit, self._buffer_start)

    @override
    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        delivered = self._buffer_start
        if frame.offset != delivered or self._fragments.blocks or self._final_size is not None:
            return self._handle_gap(frame)
        event = super().handle_frame(frame)
        self._windows.delivered += self._buffer_start - delivered
        if self._stream_id == CONTROL_STREAM:
            self._windows.control_delivered += self._buffer_start - delivered
        self.slide()
        return event

    def _handle_gap(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        """Handle a frame that opens a gap, fills one, comes again, or comes after the last."""
        delivered, gaps = self._buffer_start, len(self._ranges)
        if frame.offset > delivered and not self._windows.allows_gap:
            raise PacketRefused
        self._check_size(frame)
        if self.is_finished:
            return None
        self._keep(max(frame.offset, delivered), frame.data[max(delivered - frame.offset, 0) :])
        data = self._take()
        self._record(len(data), len(self._ranges) - gaps)
        self.slide()
        self.is_finished = self._buffer_start == self._final_size
        if not data and not self.is_finished:
            return None
        return StreamDataReceived(data, self.is_finished, self._stream_id)  # type: ignore[arg-type]  # None for TLS, as in aioquic

    def _record(self, delivered: int, gaps: int) -> None:
        """Count bytes that were delivered, and gaps more or fewer."""
        self._windows.record(delivered, gaps)
        if self._stream_id == CONTROL_STREAM:
            self._windows.control_delivered += delivered

    def _check_size(self, frame: QuicStreamFrame) -> None:
        """Record how far the stream goes; nothing is beyond its end (RFC 9000 §4.5)."""
        end = frame.offset + len(frame.data)
        highest = max(end, self.highest_offset)
        final_size = end if frame.fin else self._final_size
        has_other = self._final_size not in {None, final_size}
        if has_other or (final_size is not None and highest > final_size):
            raise FinalSizeError("data beyond the final size, or another final size")
        self._final_size, self.highest_offset = final_size, highest

    def _keep(self, offset: int, data: bytes) -> None:
        if data:
            self._ranges.add(offset, offset + len(data))
            self._fragments.write(offset, data)

    def _take(self) -> bytes:
        """Take what is now in order."""
        if not len(self._ranges) or self._ranges[0].start != self._buffer_start:
            return b""
        run = self._ranges.shift()
        data = self._fragments.take(run.start, run.stop)
        self._buffer_start = run.stop
        if not len(self._ranges):
            self._fragments.clear()
        return data

    @override
    def handle_reset(
        self, *, final_size: int, error_code: int = QuicErrorCode.NO_ERROR
    ) -> StreamReset | None:
        was_finished = self.is_finished
        event = super().handle_reset(final_size=final_size, error_code=error_code)
        if not was_finished:
            self._record(self.highest_offset - self._buffer_start, -len(self._ranges))
            self._ranges = RangeSet()
            self._fragments.clear()
            self._buffer_start = self.highest_offset
        return event


class BoundedSender(QuicStreamSender):
    """Sending half.

    Args:
        stream_id: of QUIC.
        budget: of the connection.
    """

    def __init__(self, stream_id: int | None, budget: SendBudget) -> None:
        super().__init__(stream_id=stream_id, writable=True)
        self.budget = SendBudget(MAX_STREAM_BYTES, budget)

    @override
    def write(self, data: bytes, end_stream: bool = False) -> None:
        super().write(data, end_stream)
        if data:
            self.budget.take(len(data))

    @override
    def on_data_delivery(
        self, delivery: QuicDeliveryState, start: int, stop: int, fin: bool
    ) -> None:
        before = self._buffer_start
        super().on_data_delivery(delivery, start, stop, fin)
        if self._buffer_start > before:
            self.budget.release(self._buffer_start - before)

    @override
    def reset(self, error_code: int) -> None:
        super().reset(error_code)
        if self._reset_error_code is not None and self._buffer:
            self._buffer, self._pending, self._acked = bytearray(), RangeSet(), RangeSet()
            self.budget.release(self.budget.held)
