"""Hop of a message, in Python: received of one socket, and sent to the other.

This says what `_compiled.c` does, which takes descriptors instead of sockets; the same tests hold for both.
It serves lanes inside TLS as well, whose sockets have no plain descriptor.
"""

from typing import TYPE_CHECKING, Protocol

from towonel.relay.hop.results import BROKEN, FAILED, NOTHING, PARSE, UNSENT_SHIFT
from towonel.wire.lanes import HEAD, HEAD_BYTES

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Socket(Protocol):
    """Non-blocking socket, or what has its calls."""

    def recv_into(self, buffer: "WriteableBuffer", /) -> int:
        """Receive bytes, and return how many came."""
        ...

    def send(self, data: "ReadableBuffer", /) -> int:
        """Send bytes, and return how many it took."""
        ...


def forward(source: Socket, target: Socket, frame: memoryview, head: int) -> int:
    """Send what has come to a connection's socket over its lane, as one frame.

    Args:
        source: the connection's.
        target: the lane's.
        frame: room for the head of a frame and its payload.
        head: the head of the frame, without its length.

    Returns:
        As of `results`.
    """
    try:
        count = source.recv_into(frame[HEAD_BYTES:])
    except BlockingIOError:
        return NOTHING
    except OSError:
        return FAILED
    if not count:
        return 0
    HEAD.pack_into(frame, 0, head | count)
    return count | _send(target, frame[: HEAD_BYTES + count])


def deliver(source: Socket, target: Socket, inbox: memoryview, head: int) -> int:
    """Send the payload of a frame that has come over a lane to its connection's socket.

    Args:
        source: the lane's.
        target: the connection's.
        inbox: room for what comes, which is to be parsed if it is not one whole frame with the head.
        head: the head of the frame that may come, without its length.

    Returns:
        As of `results`.
    """
    try:
        count = source.recv_into(inbox)
    except BlockingIOError:
        return NOTHING
    except OSError:
        return FAILED
    if count > HEAD_BYTES and HEAD.unpack_from(inbox)[0] == head | count - HEAD_BYTES:
        return count | _send(target, inbox[HEAD_BYTES:count])
    return count | PARSE if count else 0


def _send(target: Socket, data: memoryview) -> int:
    """Return what is to be said of a message: 0 if the target took it whole."""
    try:
        return len(data) - target.send(data) << UNSENT_SHIFT
    except BlockingIOError:
        return len(data) << UNSENT_SHIFT
    except OSError:
        return len(data) << UNSENT_SHIFT | BROKEN
