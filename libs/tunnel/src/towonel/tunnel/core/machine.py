"""State machine over a table of transitions: what both ends of a session have in common.

A machine decides and never does. It is handed what happens and the time, and returns commands:

    handle(event, now) -> commands     something happened
    tick(now) -> commands              `deadline` may have passed
    deadline: float | None             when it wants `tick`, on the clock of `now`

`now` is in seconds on a monotonic clock. What the peer did is never raised, but answered with
`Close`. A closed machine ignores whatever comes. `towonel.tunnel.driver` runs one on the event loop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from towonel.tunnel.core.close_reason import CloseReason
from towonel.tunnel.core.events import (
    Close,
    CloseRequested,
    Command,
    ConnectionClosed,
    Event,
    MessageReceived,
    ReportEnded,
    ReportRefused,
    TimedOut,
)
from towonel.wire.errors import Code, TowonelError


class State(Enum):
    """State of one end of a session; the words are those of docs/protocol.md."""

    CONNECTING = "connecting"  # to the end of the QUIC handshake, at the agent to the Challenge
    AUTHENTICATING = "authenticating"  # the edge awaits Hello, the agent Welcome
    OPEN = "open"
    GOING_AWAY = "going away"  # the edge opens no more streams
    CLOSED = "closed"

    @property
    def is_open(self) -> bool:
        """Whether the agent was admitted, and the session is not over."""
        return self in {State.OPEN, State.GOING_AWAY}


@dataclass(frozen=True, slots=True)
class Transition:
    """Entry of a table: an action, and the state after it.

    Args:
        action: method of the machine, called with the event and the time. Returns commands, or
            raises `TowonelError` to close with its code. Its docstring is the document's text.
        target: the state after it; CLOSED for every action that returns `Close`.
    """

    action: Callable[..., list[Command]]
    target: State


# By state, and by the class of the message or of another event.
type Table = Mapping[tuple[State, type], Transition]


class Machine:
    """State machine of one end of a session.

    A message that the table does not list for a state closes, UNEXPECTED_MESSAGE; another event
    that it does not list is ignored. Every state can be closed, by either end. A state has a
    deadline where the table lists `TimedOut` for it.
    """

    TABLE: ClassVar[Table]
    WITH_STREAMS: ClassVar[frozenset[State]]  # where streams and their flow control are taken

    def __init__(self, deadline: float) -> None:
        self.state = State.CONNECTING
        self.deadline: float | None = deadline

    @property
    def takes_streams(self) -> bool:
        """Whether the peer may send on streams, and messages about their flow control."""
        return self.state in self.WITH_STREAMS

    def handle(self, event: Event, now: float) -> list[Command]:
        """Return what is to be done about an event."""
        if self.state is State.CLOSED:
            return []
        match event:
            case CloseRequested(reason):
                return self._close(reason)
            case ConnectionClosed(reason):
                return [self._finish(reason)]
            case _:
                return self._follow_table(event, now)

    def tick(self, now: float) -> list[Command]:
        """Return what is to be done at this time."""
        if self.deadline is None or now < self.deadline:
            return []
        return self.handle(TimedOut(), now)

    def _follow_table(self, event: Event, now: float) -> list[Command]:
        message = event.message if isinstance(event, MessageReceived) else None
        transition = self.TABLE.get((self.state, type(message or event)))
        if transition is None:
            return [] if message is None else self._close(unexpected(message))
        try:
            commands = transition.action(self, event, now)
        except TowonelError as error:
            return self._close(CloseReason(error.code, error.detail))
        self._enter(transition.target)
        return commands

    def _close(self, reason: CloseReason) -> list[Command]:
        return [Close(reason), self._finish(reason)]

    def _finish(self, reason: CloseReason) -> Command:
        """Enter CLOSED, and return the report of it."""
        was_open = self.state.is_open
        self._enter(State.CLOSED)
        return ReportEnded(reason) if was_open else ReportRefused(reason)

    def _enter(self, state: State) -> None:
        self.state = state
        if (state, TimedOut) not in self.TABLE:
            self.deadline = None


def unexpected(message: object) -> CloseReason:
    """Return the reason to close on a message that has no place in the state."""
    return CloseReason(Code.UNEXPECTED_MESSAGE, type(message).__name__)
