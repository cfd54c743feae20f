"""Receive budget: bounds the bytes that a tenant's agents may make an edge hold, over all its sessions.

Credit cannot be taken back once it was given, and that of the protocol is 64 MiB a session from its
start. So the window of QUIC is what follows the budget, and what counts is the credit that was given:
whether its bytes are on their way, came out of order, or wait for a client. Each session may be given
its share of what is left. It always has room for `MIN_SESSION_BYTES`, so that one whose clients read
goes on, whatever the clients of others do.
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
        self.held = 0  # arrived, and not read
        self.promised = 0  # credit beyond what each session always has
        self.sharing: set[ReceiveShare] = set()
        self.stalled: set[ReceiveShare] = set()

    def wake(self) -> None:
        """Wake the sessions that may be sent more."""
        if self.stalled:
            for share in [share for share in self.stalled if share.room >= 2 * STEP_BYTES]:
                self.stalled.remove(share)
                share.wake()


class ReceiveShare:
    """Share of a session in the budget of its tenant; without a limit until it joins one."""

    def __init__(self) -> None:
        self._budget = ReceiveBudget()
        self._unread = 0
        self._ahead = 0  # that the agent may send beyond what was delivered
        self._promised = 0
        self.wake: Callable[[], None] = lambda: None  # announces what there is room for

    @property
    def room(self) -> int:
        """Number of bytes of credit that may be given."""
        left = self._budget.limit - self._budget.promised
        always = MIN_SESSION_BYTES - self._ahead - self._unread
        return max(always, left // max(1, len(self._budget.sharing)))

    def join(self, budget: ReceiveBudget) -> None:
        """Share a budget from now on; nothing is unread yet."""
        self._budget = budget
        budget.sharing.add(self)
        budget.promised += self._promised

    def leave(self) -> None:
        """Be sent nothing more; what is unread counts until it is read."""
        self._budget.sharing.discard(self)
        self._budget.stalled.discard(self)
        self.give(0)
        self._budget.wake()

    def give(self, ahead: int) -> None:
        """Count how far beyond what was delivered the agent may send from now on."""
        self._ahead = ahead
        promised = max(0, ahead + self._unread - MIN_SESSION_BYTES)
        self._budget.promised += promised - self._promised
        self._promised = promised

    def take(self, count: int) -> None:
        """Count bytes that arrived; their credit was given before."""
        self._unread += count
        self._budget.held += count

    def release(self, count: int) -> None:
        """Count bytes that were read or dropped, and wake the sessions that may be sent more."""
        self._unread -= count
        self._budget.held -= count
        self.give(self._ahead)
        self._budget.wake()

    def wait(self) -> None:
        """Call `wake` once when there is room again."""
        self._budget.stalled.add(self)
