"""Signal that something was written to the audit log."""

import asyncio


class AuditSignal:
    """Repeated event: each write to the audit log wakes the followers of events that wait."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next_write_event(self) -> asyncio.Event:
        """Return the event that the next write sets; take it before the log is read."""
        return self._next

    def notify(self) -> None:
        """Wake every follower that waits for the next write."""
        self._next.set()
        self._next = asyncio.Event()
