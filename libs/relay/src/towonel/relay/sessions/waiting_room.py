"""Waiting rooms: clients that wait until a lane of one of several sessions is idle."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, override

from towonel.relay.core.deadlines import DeadlineWheel, Timed

if TYPE_CHECKING:
    from towonel.relay.sessions.edge import LaneSession

MAX_WAITING: Final = 256  # a session


class Waiter:
    """Client that waits for a lane; its handler inherits from this.

    Attributes:
        wait: set while it waits.
    """

    wait: "Wait | None" = None

    def on_lane(self, session: "LaneSession") -> None:
        """Open a use of the session, which has an idle lane now; the wait is over."""
        raise NotImplementedError

    def on_no_lane(self) -> None:
        """Act on the end of the wait: no lane was idle in time, or no session is left."""
        raise NotImplementedError


class WaitingRoom:
    """Waiting room of one session, in the order of arrival."""

    def __init__(self) -> None:
        self.waits: dict[Wait, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return len(self.waits) >= MAX_WAITING

    def take_next(self) -> Waiter | None:
        """End the longest wait, and return whose it was."""
        for wait in self.waits:
            wait.end()
            return wait.waiter
        return None

    def clear(self) -> None:
        """Send the clients on: there will be no lane here."""
        waits, self.waits = list(self.waits), {}
        for wait in waits:
            wait.leave(self)


class Wait(Timed):
    """Wait of one client in one or more rooms."""

    def __init__(self, waiter: Waiter, rooms: Iterable[WaitingRoom], delays: DeadlineWheel) -> None:
        self.waiter = waiter
        self._rooms = list(rooms)
        self._delays = delays
        waiter.wait = self
        for room in self._rooms:
            room.waits[self] = None

    def end(self) -> None:
        """Leave all rooms."""
        self._delays.disarm(self)
        self.waiter.wait = None
        for room in self._rooms:
            room.waits.pop(self, None)
        self._rooms.clear()

    def leave(self, room: WaitingRoom) -> None:
        """Leave one room; the wait goes on in the others."""
        if room not in self._rooms:
            return
        self._rooms.remove(room)
        if not self._rooms:
            self.expire()

    @override
    def expire(self) -> None:
        self.end()
        self.waiter.on_no_lane()
