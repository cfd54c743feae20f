"""Memory that all connections of a worker share: the buffer that bytes pass through, and pipes."""

from typing import Final

from towonel.relay.hop.choice import Hop
from towonel.relay.pipes import PipePool
from towonel.wire.lanes import HEAD_BYTES

BUFFER_BYTES: Final = 32 * 1024


class Memory:
    """Buffers of one worker, which are empty between two calls of the loop's handlers.

    Args:
        pipes: what bulk is spliced through.
        hop: carries short messages, where it is compiled.
    """

    def __init__(self, pipes: PipePool, hop: Hop | None = None) -> None:
        self.pipes = pipes
        self.hop = hop
        # Bytes of a connection are received behind the room for the head of their frame.
        self.frame = bytearray(HEAD_BYTES + BUFFER_BYTES)
        self.frame_view = memoryview(self.frame)
        self.body_view = self.frame_view[HEAD_BYTES:]
        self.inbox = bytearray(BUFFER_BYTES)
        self.inbox_view = memoryview(self.inbox)
