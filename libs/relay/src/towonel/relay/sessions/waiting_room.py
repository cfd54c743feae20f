"""Waiting rooms: clients that wait until a lane of one of several sessions is idle.

A client waits as long as a new lane takes. While lanes come, and go to those who came before it, its turn
comes too: so it waits as long again.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol, override

from towonel.relay.core.deadlines import DeadlineWheel, Timed

if TYPE_CHECKING:
    from towonel.relay.sessions.edge import LaneSession

MAX_WAITING: Final = 1024  # a session
MAX_WAIT_S: Final = 5.0  # in all


class Waiter(Protocol):
    """Client that waits for a lane; its handler inherits from this.

    Attributes:
        wait: set while it waits.
    """

    wait: "Wait | None" = None

    def on_lane(self, session: "LaneSession") -> None:
        """Open a use of the session, which has an idle lane now; the wait is over."""
        ...

    def look_elsewhere(self) -> bool:
        """Look for a lane elsewhere; return whether there was one, for which the wait has been ended."""
        return False

    def on_no_lane(self) -> None:
        """Act on the end of the wait: no lane was idle in time, or no session is left."""
        ...


class WaitingRoom:
    """Waiting room of one session, in the order of arrival.

    Attributes:
        waits: of its clients.
        served: clients that got a lane here, since the start.
    """

    def __init__(self) -> None:
        self.waits: dict[Wait, None] = {}
        self.served = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return len(self.waits) >= MAX_WAITING

    def take_next(self) -> Waiter | None:
        """End the longest wait, and return whose it was."""
        for wait in self.waits:
            self.note_served()
            wait.end()
            return wait.waiter
        return None

    def note_served(self) -> None:
        """Note that a client gets a lane, for which those behind it wait on."""
        self.served += 1

    def clear(self) -> None:
        """Send the clients on: there will be no lane here."""
        waits, self.waits = list(self.waits), {}
        for wait in waits:
            wait.leave(self)


class Wait(Timed):
    """Wait of one client in one or more rooms.

    Args:
        waiter: told how it ends.
        rooms: where it waits.
        delays: of the loop.
        wait_s: how long it waits while nobody in the rooms gets a lane.
        look_s: how often it looks for a lane elsewhere meanwhile, as it does at the end.
    """

    def __init__(
        self,
        waiter: Waiter,
        rooms: Iterable[WaitingRoom],
        delays: DeadlineWheel,
        wait_s: float,
        look_s: float,
    ) -> None:
        self.waiter = waiter
        self._rooms = list(rooms)
        self._delays = delays
        self._wait_s = wait_s
        self._look_s = look_s
        self._give_up_at = delays.now + wait_s
        self._until = delays.now + MAX_WAIT_S
        self._served = self._count_served()
        waiter.wait = self
        for room in self._rooms:
            room.waits[self] = None
        delays.arm(self, min(look_s, wait_s))

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
        self._served = self._count_served()
        if not self._rooms:
            self._give_up()

    @override
    def expire(self) -> None:
        if self.waiter.look_elsewhere():
            return
        now = self._delays.now
        if now >= self._give_up_at and not self._go_on(now):
            self._give_up()
        else:
            self._delays.arm(self, min(self._look_s, self._give_up_at - now))

    def _go_on(self, now: float) -> bool:
        """Return whether to wait as long again, since others got lanes."""
        before, self._served = self._served, self._count_served()
        self._give_up_at = min(now + self._wait_s, self._until)
        return self._served != before and now < self._until

    def _give_up(self) -> None:
        self.end()
        self.waiter.on_no_lane()

    def _count_served(self) -> int:
        return sum(room.served for room in self._rooms)
