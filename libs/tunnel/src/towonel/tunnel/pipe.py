"""Interface of a connection, as services see it: bytes both ways, each ended on its own.

A client's socket, an origin's socket and a stream of a session all look like this, so that the edge
and the agent relay bytes without knowing what carries them.
"""

from typing import Protocol

from towonel.wire.errors import Code

CHUNK_BYTES = 64 * 1024  # of one read at most: large enough that Python is not the cost


class Pipe(Protocol):
    """Pipe: bytes both ways; one reader and one writer at a time.

    After `abort`, `close` or a loss, every waiting and later call raises the same `Unavailable`.
    """

    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        """Return 1 to `max_bytes` bytes, or `b""` once the far side has half-closed.

        Raises:
            TowonelError: the code the far side gave, or why it is gone.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Hand over all of `data`; waits while the far side takes nothing.

        Raises:
            TowonelError: the far side reads no more, or is gone.
        """
        ...

    async def write_eof(self) -> None:
        """Half-close: the far side reads `b""` after what was written. Idempotent."""
        ...

    def abort(self, code: Code) -> None:
        """End both directions at once and drop what is buffered; idempotent, never waits."""
        ...

    async def close(self) -> None:
        """Release everything; a direction that has not ended is abandoned. Idempotent."""
        ...
