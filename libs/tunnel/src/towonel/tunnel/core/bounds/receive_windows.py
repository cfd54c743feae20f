"""Receive windows of a QUIC connection: how far a peer may send beyond what was delivered.

What arrives out of order is kept until what is missing comes. A window bounds how many bytes that
are, and the number of gaps what they take beside themselves. Limits slide with what was delivered in
order, and never with what merely arrived:

    0         delivered                           limit
    |-- gone --|--- gaps, and bytes behind them ---|
               |<------------ window ------------->|

A limit on all streams together must not keep control messages waiting for what clients have not read.
So that one is higher by what arrived on the control stream, and by `CONTROL_BYTES`, of which a sender
leaves a part to it.

Source: RFC 9000 §4.1 (flow control), §21.5 (stream fragmentation).
"""

from dataclasses import dataclass

from towonel.tunnel.core.bounds.receive_budget import MIN_SESSION_BYTES, STEP_BYTES, ReceiveShare

CONTROL_BYTES = STEP_BYTES
CONTROL_RESERVE_BYTES = CONTROL_BYTES // 2  # half a step, so that waiting for data shows
_STEP = 4  # a limit is raised once a quarter of its window was used: a frame, and no waiting


@dataclass(frozen=True, slots=True)
class WindowSizes:
    """Sizes of the windows.

    Args:
        stream_bytes: of one stream.
        connection_bytes: of all streams together.
        gaps: before bytes that arrived, on all streams; each costs memory, and time for each frame.
        slides: whether limits follow what was delivered.
    """

    stream_bytes: int
    connection_bytes: int
    gaps: int
    slides: bool


# Before admission the limits stand still: a Hello takes one frame of at most 64 KiB.
EDGE_SIZES = WindowSizes(128 * 1024, 256 * 1024, gaps=32, slides=False)
# An edge opens streams before its Welcome arrives; each may carry as much as our own credit allows.
AGENT_SIZES = WindowSizes(256 * 1024, 256 * 1024, gaps=32, slides=False)
# A stream's is as wide as our own credit grows. The other is what may lie out of order.
# A gap is a run of lost packets: so many lost runs in a round trip are congestion anyway.
ADMITTED_SIZES = WindowSizes(8 * 1024 * 1024, 16 * 1024 * 1024, gaps=256, slides=True)
HANDSHAKE_SIZES = WindowSizes(16 * 1024, 16 * 1024, gaps=16, slides=False)  # of TLS messages


class ReceiveWindows:
    """Receive windows that the streams of a connection share.

    Args:
        sizes: at first.
    """

    def __init__(self, sizes: WindowSizes) -> None:
        self.sizes = sizes
        self.share = ReceiveShare()
        self.delivered = 0  # in order, or known never to come
        self.control_delivered = 0  # of those, on the control stream
        self._control_limit = 0  # what of the limit is for the control stream
        self._gaps = 0

    @property
    def allows_gap(self) -> bool:
        """Whether bytes may be kept that others must come before."""
        return self._gaps < self.sizes.gaps

    def record(self, delivered: int, gaps: int) -> None:
        """Count bytes that were delivered, and gaps more or fewer."""
        self.delivered += delivered
        self._gaps += gaps

    def connection_limit(self, limit: int) -> int:
        """Return what the limit on all streams together is now, from what it was."""
        if not self.sizes.slides:
            return limit
        former = limit - self._control_limit
        data = self._data_limit(former, self.delivered - self.control_delivered)
        control = self.control_delivered + CONTROL_BYTES
        if data == former and control - self._control_limit < CONTROL_BYTES // _STEP:
            return limit
        self._control_limit = control
        return data + control

    def _data_limit(self, limit: int, delivered: int) -> int:
        """Return the limit on what clients read: of an agent that has sent little, a lower one."""
        size = min(self.sizes.connection_bytes, max(MIN_SESSION_BYTES, 2 * delivered))
        if delivered + size - limit < size // _STEP:
            return limit
        self.share.give(limit - delivered)
        window = min(size, limit - delivered + self.share.room)
        step = min(size // _STEP, max(window // _STEP, STEP_BYTES))
        if delivered + window - limit >= step:
            self.share.give(window)
            return delivered + window
        if limit - delivered < STEP_BYTES:
            self.share.wait()
        return limit

    def stream_limit(self, limit: int, delivered: int) -> int:
        """Return what the limit of a stream is now, of which so much was delivered.

        It stays until a quarter of it was used: most streams never need another.
        """
        used = min(self.sizes.stream_bytes, limit) - (limit - delivered)
        if used * _STEP < min(self.sizes.stream_bytes, limit):
            return limit
        return self.widest_limit(limit, delivered)

    def widest_limit(self, limit: int, delivered: int) -> int:
        """Return the limit of a stream with its whole window."""
        return max(limit, delivered + self.sizes.stream_bytes) if self.sizes.slides else limit
