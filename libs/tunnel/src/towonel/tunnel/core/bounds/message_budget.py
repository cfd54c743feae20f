"""Message budget: bounds the control messages that a peer may have us read.

Messages about flow control follow the bytes and streams that they are about, so those are what the
budget grows with; the little that comes back with time is for all other messages.
"""

from towonel.tunnel.core.bounds.token_bucket import TokenBucket
from towonel.wire.errors import Code, Denied

BURST = 4096.0
PER_S = 20.0
BYTES_A_MESSAGE = 4096  # ours announces room after 128 KiB at the earliest
MESSAGES_A_STREAM = 8  # its first and last announcements, and what it had sent before a reset


class MessageBudget:
    """Budget of the messages of one peer.

    Args:
        now: seconds, monotonic.
    """

    def __init__(self, now: float) -> None:
        self._bucket = TokenBucket(PER_S, BURST, now)
        self._sent_bytes = 0

    def record_stream(self) -> None:
        """Count a stream that was opened."""
        self._bucket.add(MESSAGES_A_STREAM)

    def spend(self, now: float, sent_bytes: int) -> None:
        """Count a message, of a peer that was sent so many bytes so far.

        Raises:
            Denied: RATE_LIMITED.
        """
        self._bucket.add((sent_bytes - self._sent_bytes) / BYTES_A_MESSAGE)
        self._sent_bytes = sent_bytes
        if not self._bucket.take(now):
            raise Denied(Code.RATE_LIMITED, "control messages without end")
