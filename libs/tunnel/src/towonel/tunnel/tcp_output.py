"""Failure detector of a TCP peer, by what it does not acknowledge.

The kernel gives up on a peer that is gone only after some fifteen minutes of retransmission, and
TCP_USER_TIMEOUT also ends a peer that is there and pauses reading. So the kernel is asked what is
unacknowledged: a peer that pauses acknowledges what it has got, and every probe of its window.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

# struct tcp_info of linux/tcp.h: tcpi_probes, tcpi_unacked, tcpi_last_ack_recv, tcpi_notsent_bytes.
_TCP_INFO = struct.Struct("=3xB20xI28xI84xI")
YIELD_EVERY = 100  # sockets looked at before others get their turn: below a millisecond
_UNANSWERED_PROBES = 3  # of a window: one may be lost, and one under way


@dataclass(frozen=True, slots=True)
class OutputState:
    """State of what was written to a socket.

    Args:
        unacknowledged: segments that the peer has not acknowledged.
        unsent_bytes: that wait in the kernel.
        probes: of a window without room, which the peer has not answered.
        acknowledged_s: seconds since the peer last acknowledged anything.
    """

    unacknowledged: int
    unsent_bytes: int
    probes: int
    acknowledged_s: float

    @property
    def is_outstanding(self) -> bool:
        """Whether the peer has yet to acknowledge, or to take, what was written."""
        return bool(self.unacknowledged or self.unsent_bytes)


def read_output_state(sock: socket.socket) -> OutputState:
    """Return the state of a connected TCP socket.

    Raises:
        OSError: it is closed.
    """
    data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    probes, unacknowledged, last_ack_ms, unsent_bytes = _TCP_INFO.unpack(data)
    return OutputState(unacknowledged, unsent_bytes, probes, last_ack_ms / 1000)


class OutputWatch:
    """Watch on one socket: whether its peer has been owing an acknowledgement for too long."""

    __slots__ = ("_owing_since",)

    def __init__(self) -> None:
        self._owing_since: float | None = None

    def is_dead(self, state: OutputState, now: float, limit_s: float) -> bool:
        """Return whether nothing was acknowledged for `limit_s` although something should have been.

        Args:
            state: of now.
            now: seconds, monotonic.
            limit_s: since the peer owed an acknowledgement, and since it last sent one.
        """
        if not state.unacknowledged and state.probes < _UNANSWERED_PROBES:
            self._owing_since = None
            return False
        owing_since = now if self._owing_since is None else self._owing_since
        self._owing_since = max(owing_since, now - state.acknowledged_s)
        return now - self._owing_since >= limit_s


async def with_pauses[T](watched: Collection[T]) -> AsyncGenerator[T]:
    """Yield each of what is there now, and let others have their turn in between."""
    for number, each in enumerate(tuple(watched)):
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        yield each
