"""Event loop over epoll: readiness flags, fair turns for bulk, and wheels of deadlines.

    poll ──▶ on_ready of each ready descriptor ──▶ deadlines ──▶ turns, for a millisecond ──▶ flushes ──▶ poll

Where many descriptors are ready at once, each waits for a turn of its group as well, so that those of one group do not
hold up another's.

Descriptors are registered once, edge-triggered, for reading and writing. Their handlers keep what they
were told in flags and use it up, so that no message costs a call to change what is waited for.
"""

import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from towonel.relay.core.deadlines import FINE_TICK_S, DeadlineWheel, Timed

READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
BROKEN: Final = select.EPOLLHUP | select.EPOLLERR
ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EDGES: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_MAX_EVENTS: Final = 256
_FEW_EVENTS: Final = 32  # that are acted on at once: a millisecond or so
_TURNS_S: Final = 0.001  # of bulk, before epoll is asked what else there is


class TurnGroup:
    """Group of handlers that share turns: as many as another group's, however many they are.

    Attributes:
        ready: descriptors that wait for `on_ready`.
        waiting: handlers that wait to carry bulk.
        has_turn: whether either of them is to come.
    """

    def __init__(self) -> None:
        self.ready: deque[int] = deque()
        self.waiting: deque[Handler] = deque()
        self.has_turn = False


class Handler(Timed):
    """Owner of a registered descriptor.

    Attributes:
        group: whose turns it takes; None for those of all that have no group.
        queued: whether it waits for a turn.
    """

    group: TurnGroup | None = None
    queued: bool = False

    def on_ready(self, events: int) -> None:
        """Act on what epoll says of the descriptor."""
        raise NotImplementedError

    def take_turn(self) -> bool:
        """Carry a bounded part of bulk, and return whether there is more to carry now."""
        raise NotImplementedError


class Flusher:
    """Holder of what is to leave by the end of a round."""

    def flush_round(self) -> None:
        """Let it leave."""
        raise NotImplementedError

    def crash(self, error: Exception) -> None:
        """Act on an exception that is a bug."""
        raise NotImplementedError


class Loop:
    """Event loop of one thread.

    Args:
        clock: in seconds, never back.

    Attributes:
        wheel: deadlines of connections, in ticks of 250 ms.
        delays: short waits, up to a second, in ticks of 5 ms.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._added: set[int] = set()  # in this round
        self._turns: deque[TurnGroup] = deque()  # of which handlers wait
        self._events: dict[int, int] = {}  # of descriptors that wait
        self._no_group = TurnGroup()
        self._flushers: list[Flusher] = []
        self._stopping = False
        self.wheel = DeadlineWheel(clock())
        self.delays = DeadlineWheel(clock(), FINE_TICK_S)

    def add(self, descriptor: int, handler: Handler, events: int = _EDGES) -> None:
        """Register a descriptor; its handler is told what it is ready for already."""
        self._handlers[descriptor] = handler
        self._added.add(descriptor)
        self._epoll.register(descriptor, events)

    def replace(self, descriptor: int, handler: Handler) -> None:
        """Give a registered descriptor another handler, which assumes that it is ready for all."""
        self._handlers[descriptor] = handler

    def forget(self, descriptor: int) -> None:
        """Unregister a descriptor that is about to be closed, which takes it out of epoll."""
        del self._handlers[descriptor]
        self._events.pop(descriptor, None)

    def release(self, descriptor: int) -> None:
        """Unregister a descriptor that stays open, and is handed to somebody else."""
        self.forget(descriptor)
        self._epoll.unregister(descriptor)

    def queue(self, handler: Handler) -> None:
        """Give a handler's bulk a turn, after those of its group, and after the other groups."""
        if handler.queued:
            return
        handler.queued = True
        self._give_turn(handler).waiting.append(handler)

    def flush_later(self, flusher: Flusher) -> None:
        """Call `flush_round` once, at the end of this round."""
        self._flushers.append(flusher)

    def stop(self) -> None:
        """Let `run` return after this round."""
        self._stopping = True

    def run(self) -> None:
        """Run until `stop`."""
        while not self._stopping:
            self.run_once()

    def run_once(self) -> None:
        """Wait for what comes next, and act on it."""
        wheel, delays, handlers, added = self.wheel, self.delays, self._handlers, self._added
        added.clear()
        ready = self._epoll.poll(self._wait_s(), _MAX_EVENTS)
        # What is armed now is counted from this, and what is due by then expires: handlers take no time.
        wheel.now = delays.now = now = self._clock()
        in_turns = len(ready) > _FEW_EVENTS or bool(self._events)
        for descriptor, events in ready:
            handler = handlers.get(descriptor)
            # What is told of a descriptor that was closed meanwhile is not about the one that has its number.
            if handler is not None and descriptor not in added:
                if in_turns:
                    self._defer(descriptor, handler, events)
                else:
                    _act(handler, events)
        if delays.count and now >= delays.next_at:
            delays.advance(now)
        if now >= wheel.next_at:
            wheel.advance(now)
        if self._turns:
            self._take_turns()
        if self._flushers:
            self._flush()

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()

    def _wait_s(self) -> float | None:
        if self._turns:
            return 0.0
        wheel, delays = self.wheel, self.delays
        if delays.count:
            next_at = min(delays.next_at, wheel.next_at) if wheel.count else delays.next_at
        elif wheel.count:
            next_at = wheel.next_at
        else:
            return None
        return max(0.0, next_at - self._clock())

    def _flush(self) -> None:
        flushers = self._flushers
        for flusher in flushers:  # with those that are added meanwhile
            try:
                flusher.flush_round()
            except Exception as error:  # noqa: BLE001 all others are flushed
                flusher.crash(error)
        flushers.clear()

    def _take_turns(self) -> None:
        turns = self._turns
        until = self._clock() + _TURNS_S
        while turns:
            group = turns[0]
            if group.ready:
                self._act_on_next(group)
            if group.waiting:
                self._carry_next(group)
            turns.popleft()
            group.has_turn = bool(group.ready or group.waiting)
            if group.has_turn:
                turns.append(group)
            if self._clock() >= until:
                return

    def _defer(self, descriptor: int, handler: Handler, events: int) -> None:
        """Let a ready descriptor wait for a turn of its group."""
        waits = self._events.get(descriptor)
        self._events[descriptor] = events if waits is None else waits | events
        if waits is None:
            self._give_turn(handler).ready.append(descriptor)

    def _give_turn(self, handler: Handler) -> TurnGroup:
        """Return the group of a handler, which has a turn to come."""
        group = handler.group or self._no_group
        if not group.has_turn:
            group.has_turn = True
            self._turns.append(group)
        return group

    def _act_on_next(self, group: TurnGroup) -> None:
        descriptor = group.ready.popleft()
        events, handler = self._events.pop(descriptor, 0), self._handlers.get(descriptor)
        if events and handler is not None:
            _act(handler, events)

    def _carry_next(self, group: TurnGroup) -> None:
        handler = group.waiting.popleft()
        handler.queued = False
        try:
            if handler.take_turn():
                self.queue(handler)
        except Exception as error:  # noqa: BLE001 all other connections go on
            handler.crash(error)


def _act(handler: Handler, events: int) -> None:
    try:
        handler.on_ready(events)
    except Exception as error:  # noqa: BLE001 all other connections go on
        handler.crash(error)
