"""Send budget: bounds the bytes that were handed to QUIC and that the peer has not acknowledged.

The credit of a receiver bounds what it has not read; that is the receiver's word. What lies in our
memory meanwhile is bounded here, whatever the peer announces. Budgets are nested: of a stream, of
its session, of all sessions of a tenant.
"""

from collections.abc import Callable, Hashable
from itertools import islice

from towonel.wire.credit import MAX_STREAM_WINDOW_BYTES, SESSION_WINDOW_BYTES

MAX_STREAM_BYTES = MAX_STREAM_WINDOW_BYTES  # no credit is above it, so an honest peer never waits
MAX_SESSION_BYTES = SESSION_WINDOW_BYTES
WAKE_BYTES = 64 * 1024  # room for one write: an acknowledgement of a packet alone wakes nobody

type Wake = Callable[[], None]


class SendBudget:
    """Budget of bytes that may be held at once, and the writers that wait for room in it.

    Args:
        limit: bytes.
        parent: that also counts what is held here.
    """

    def __init__(self, limit: int, parent: "SendBudget | None" = None) -> None:
        self._limit = limit
        self._parent = parent
        self._waiting: dict[Hashable, Wake] = {}  # the longest first
        self.held = 0

    @property
    def available(self) -> int:
        """Number of bytes that may be taken now; 0 where more is held than allowed."""
        own = max(0, self._limit - self.held)
        return own if self._parent is None else min(own, self._parent.available)

    def take(self, count: int) -> None:
        """Count bytes that are held from now on; control messages are, even without room."""
        self.held += count
        if self._parent is not None:
            self._parent.take(count)

    def release(self, count: int, *, is_last: bool = False) -> None:
        """Count bytes that are no longer held, and wake as many writers as there is room for.

        Args:
            count: of bytes.
            is_last: whether whoever held them, a stream or a session, holds nothing more. One writer
                is woken then, however little room there is: what others hold may stay for long.
        """
        self.held -= count
        self._wake(at_least=int(is_last))
        if self._parent is not None:
            self._parent.release(count, is_last=not self.held)

    def join(self, parent: "SendBudget") -> None:
        """Count what is held here in a parent too, from now on."""
        parent.take(self.held)
        self._parent = parent

    def leave(self) -> None:
        """Count nothing in the parent any more: whoever held it has ended."""
        if self._parent is not None:
            self._parent.release(self.held, is_last=True)
            self._parent = None

    def wait(self, key: Hashable, wake: Wake) -> "SendBudget":
        """Call `wake` once when the innermost budget that is full has room; returns that one.

        Room in another would wake the writer in vain. Who is woken calls `wake_next`.
        """
        if self._parent is not None and self.held < self._limit:
            return self._parent.wait(key, wake)
        self._waiting[key] = wake
        return self

    def wake_next(self) -> None:
        """Wake the writer that waits the longest, where there is room here and above.

        Each that was woken calls this once it has taken what it wants, which may be nothing: it may
        have ended, or lack credit by now, and the release that woke it may have been the last.
        """
        if self._waiting and self.available:
            self._waiting.pop(next(iter(self._waiting)))()

    def cancel(self, key: Hashable) -> None:
        """Wait no longer in this budget."""
        self._waiting.pop(key, None)

    def _wake(self, at_least: int) -> None:
        """Wake all if nothing is held, for no release would follow; else those that find room."""
        if not self._waiting:
            return
        room = self.available
        count = max(room // min(WAKE_BYTES, self._limit), min(room, at_least))
        count = count if self.held else len(self._waiting)
        for key in list(islice(self._waiting, count)):
            self._waiting.pop(key)()
