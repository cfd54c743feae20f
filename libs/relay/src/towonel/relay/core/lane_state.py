"""State machine of one end of a lane: which use it serves, and what either side may still send.

A use ends for a side once it has sent its last frame and received the peer's: then the lane is idle,
and the edge may open the next. Last frames are END, RESET and REJECT.

    edge   idle ── OPEN ──▶ opened ── ACCEPT ──▶ accepted ── last frame each way ──▶ idle
                              └──── REJECT or RESET, answered by a last frame ─────────┘

A RESET may follow an END whose sender still waits for the peer's last frame. It can cross that frame,
and then reaches an end for which the use is over: that end drops it.

Source: docs/protocol.md, lanes.
"""

from enum import Enum
from typing import Final

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lanes import USE_BITS, FrameType

# A side's last frame of the current use.
_NONE: Final = 0
_END: Final = 1
_RESET: Final = 2


class Received(Enum):
    """Meaning of a peer's frame to the end that receives it."""

    OPENED = "opened"
    ACCEPTED = "accepted"
    DATA = "data"
    REJECTED = "rejected"
    ENDED = "ended"
    RESET = "reset"
    PING = "ping"
    PONG = "pong"
    DROPPED = "dropped"  # a RESET of a use that is over


class LaneState:
    """State of one end of a lane.

    Methods named for a frame record that it is sent, and `receive` that one came. A last frame must be
    sent while `owes_last`.

    Attributes:
        use: number of the use.
        accepted: whether the agent has accepted it.
        may_send: whether bytes of the connection, or END, may be sent.
    """

    use: int
    accepted: bool
    may_send: bool  # no property, since every message asks for it

    def __init__(self, *, is_edge: bool) -> None:
        self._is_edge = is_edge
        self.use = 0
        self.accepted = self.may_send = False
        self._sent = self._received = _RESET
        self._late_reset = False  # whether one of the use before this may still come

    @property
    def idle(self) -> bool:
        """Whether the last use is over for both sides."""
        return bool(self._sent and self._received)  # neither is none

    @property
    def may_reset(self) -> bool:
        """Whether a RESET may be sent: this side's last frame, or after its END."""
        return self._sent == _NONE or (self._sent == _END and self._received == _NONE)

    @property
    def sent_last(self) -> bool:
        """Whether this side's last frame of the use is sent."""
        return self._sent != _NONE

    @property
    def owes_last(self) -> bool:
        """Whether the peer has ended the use by RESET or REJECT, and waits for a last frame."""
        return self._received == _RESET and self._sent == _NONE

    def open(self) -> int:
        """Begin the next use, at the edge, and return its number."""
        assert self._is_edge, "the edge opens uses"
        assert self.idle, "the use before is over"
        self._late_reset = self._received == _END
        self._begin()
        return self.use

    def accept(self) -> None:
        """Answer OPEN: the origin is connected."""
        assert self._may_answer(), "an agent answers OPEN once"
        self.accepted = self.may_send = True

    def reject(self) -> None:
        """Answer OPEN: no byte of the client reached the origin."""
        assert self._may_answer(), "an agent answers OPEN once"
        self._sent = _RESET

    def end(self) -> None:
        """End this side's bytes."""
        assert self.may_send, "END follows ACCEPT, and is sent once"
        self._sent = _END
        self.may_send = False

    def reset(self) -> None:
        """Fail the connection."""
        assert self.may_reset, "RESET is sent once, and not when the use is over"
        self._sent = _RESET
        self.may_send = False

    def receive(self, kind: FrameType, use: int) -> Received:
        """Return what a frame means, `use` being the bits in its head.

        Raises:
            ProtocolError: UNEXPECTED_MESSAGE for a frame that is out of place; the lane is closed.
        """
        match kind:
            case FrameType.PING:
                return Received.PING
            case FrameType.PONG:
                return Received.PONG
            case FrameType.OPEN:
                return self._receive_open(use)
            case FrameType.RESET:
                return self._receive_reset(use)
            case _:
                return self._receive_in_use(kind, use)

    def _begin(self) -> None:
        self.use += 1
        self.accepted = self.may_send = False
        self._sent = self._received = _NONE

    def _may_answer(self) -> bool:
        return not self._is_edge and not self.accepted and self._sent == _NONE

    def _receive_open(self, use: int) -> Received:
        if self._is_edge or not self.idle or use != (self.use + 1) & USE_BITS:
            raise _out_of_place(FrameType.OPEN, "the agent's lane is idle, and uses are in order")
        self._begin()
        return Received.OPENED

    def _receive_in_use(self, kind: FrameType, use: int) -> Received:
        if use != self.use & USE_BITS or self._received != _NONE:
            raise _out_of_place(kind, "its use is over")
        self._late_reset = False
        match kind:
            case FrameType.DATA if self.accepted:
                return Received.DATA
            case FrameType.END if self.accepted:
                self._received = _END
                return Received.ENDED
            case FrameType.ACCEPT if self._is_edge and not self.accepted:
                self.accepted = True
                self.may_send = self._sent == _NONE
                return Received.ACCEPTED
            case FrameType.REJECT if self._is_edge and not self.accepted:
                self._received = _RESET
                return Received.REJECTED
            case _:
                raise _out_of_place(kind, "the use is not in the state for it")

    def _receive_reset(self, use: int) -> Received:
        if self._late_reset and use == (self.use - 1) & USE_BITS:
            self._late_reset = False
            return Received.DROPPED
        if use != self.use & USE_BITS or self._received == _RESET:
            raise _out_of_place(FrameType.RESET, "its use has failed already")
        over = self.idle
        self._received = _RESET
        self._late_reset = False
        return Received.DROPPED if over else Received.RESET


def _out_of_place(kind: FrameType, rule: str) -> ProtocolError:
    return ProtocolError(Code.UNEXPECTED_MESSAGE, f"{kind.name}: {rule}")
