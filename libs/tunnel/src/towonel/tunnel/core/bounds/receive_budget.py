"""Receive budget: bounds the bytes that a tenant's agents sent and that clients have not taken.

Credit cannot be taken back once it was given, and that of the protocol is 64 MiB a session from its
start. So the window of QUIC is what follows the budget: each session may be sent its share of what
is left. It always has room for `MIN_SESSION_BYTES`, so that one whose clients read goes on, whatever
the clients of others do.
"""

import sys
from collections.abc import Callable

MIN_SESSION_BYTES = 1024 * 1024
STEP_BYTES = MIN_SESSION_BYTES // 16  # an agent that may send less is stalled


class ReceiveBudget:
    """Budget of a tenant.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int = sys.maxsize) -> None:
        self.limit = limit
        self.held = 0
        self.sharing: set[ReceiveShare] = set()
        self.stalled: set[ReceiveShare] = set()

    def release(self, count: int) -> None:
        """Count bytes that are no longer held, and wake the sessions that may be sent more."""
        self.held -= count
        if self.stalled:
            for share in [share for share in self.stalled if share.room >= 2 * STEP_BYTES]:
                self.stalled.remove(share)
                share.wake()


class ReceiveShare:
    """Share of a session in the budget of its tenant; without a limit until it joins one."""

    def __init__(self) -> None:
        self._budget = ReceiveBudget()
        self._unread = 0
        self.wake: Callable[[], None] = lambda: None  # announces what there is room for

    @property
    def room(self) -> int:
        """Number of bytes that may be on their way to here."""
        left = self._budget.limit - self._budget.held
        return max(MIN_SESSION_BYTES - self._unread, left // max(1, len(self._budget.sharing)))

    def join(self, budget: ReceiveBudget) -> None:
        """Share a budget from now on; nothing is unread yet."""
        self._budget = budget
        budget.sharing.add(self)

    def leave(self) -> None:
        """Be sent nothing more; what is unread counts until it is read."""
        self._budget.sharing.discard(self)
        self._budget.stalled.discard(self)
        self._budget.release(0)

    def take(self, count: int) -> None:
        """Count bytes that arrived."""
        self._unread += count
        self._budget.held += count

    def release(self, count: int) -> None:
        """Count bytes that were read or dropped."""
        self._unread -= count
        self._budget.release(count)

    def wait(self) -> None:
        """Call `wake` once when there is room again."""
        self._budget.stalled.add(self)
