"""Transport of a session: what its channel and streams need of a connection, QUIC or TLS over TCP."""

from typing import Protocol

from towonel.tunnel.core.bounds.receive_budget import ReceiveShare
from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.core.close_reason import CloseReason
from towonel.wire.errors import Code


class Transport(Protocol):
    """Connection that carries the control stream, and other streams where it can.

    Attributes:
        send_budget: of what is sent and not taken by the peer, or the kernel.
        receive_share: of what arrived and is not read.
        close_reason: why it ended; None until then.
        has_streams: whether it carries other streams than that of control.
    """

    send_budget: SendBudget
    receive_share: ReceiveShare
    close_reason: CloseReason | None
    has_streams: bool

    @property
    def peer(self) -> str:
        """Where the peer is now, `host:port`."""
        ...

    @property
    def rtt_s(self) -> float:
        """The round trip now."""
        ...

    @property
    def unanswered_s(self) -> float:
        """For how long the peer has owed the answer to a ping; 0 where it owes none."""
        ...

    @property
    def has_room_for_stream(self) -> bool:
        """Whether one more stream may be opened."""
        ...

    def budget_of(self, stream_id: int) -> SendBudget:
        """Return the budget of what is sent on a stream."""
        ...

    def widen(self) -> None:
        """Let the peer send as much as our own credit allows: it was admitted."""

    def new_stream_id(self) -> int:
        """Return the id that the next stream of ours has."""
        ...

    def send(self, stream_id: int, data: bytes, *, is_end: bool = False) -> bool:
        """Queue bytes of a stream; False when that direction is over."""
        ...

    def reset(self, stream_id: int, code: Code) -> None:
        """End our sending side of a stream and drop what is queued."""

    def stop(self, stream_id: int, code: Code) -> None:
        """Ask the peer to end its sending side of a stream."""

    def ping(self) -> None:
        """Ask for a sign of life."""

    def hasten_check(self) -> None:
        """Look soon whether the peer is there: a stream was opened, and somebody waits."""

    def close(self, reason: CloseReason) -> None:
        """Tell the peer and forget it at once."""
