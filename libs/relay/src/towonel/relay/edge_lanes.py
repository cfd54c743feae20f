"""Lanes of an edge's worker: their admission, the pool of each session, and what clients use them for.

    accept ── first byte 0xF7 ──▶ EdgeLanes.admit ──▶ LaneSession.idle
    client ── LaneSession.open ──▶ LaneUse.on_accepted: relay  |  LaneUse.on_failed: retry, or refuse

Everything runs in the thread of the loop, and callbacks are made from within it: they may call any method
of this module.
"""

import socket
from collections.abc import Sequence
from typing import override

from towonel.relay.core.deadlines import Timed
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.wire.errors import Code


class LaneUse:
    """Use of a lane by a client, until it is accepted; the client's handler inherits from this.

    Attributes:
        lane: set while the OPEN is unanswered.
    """

    lane: Lane | None = None

    def on_accepted(self, lane: Lane) -> None:
        """Attach the client: `lane.attach(Connection(...))`, at once, since bytes may follow."""
        raise NotImplementedError

    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        """Act on a use that was not accepted.

        Args:
            code: of the agent's REJECT or RESET, or SESSION_LOST.
            may_retry: whether the client's bytes may be sent to another lane without happening twice.
        """
        raise NotImplementedError


class Waiter(Timed):
    """Client that waits for a lane of one of several sessions."""

    def on_lane(self, session: "LaneSession") -> None:
        """Open a use of the session, which has an idle lane now; the wait is over."""
        raise NotImplementedError

    def on_no_lane(self) -> None:
        """Act on the end of the wait: no lane got idle in time, or no session is left."""
        raise NotImplementedError


class EdgeLanesOwner:
    """Owner of an edge's lanes: told what control or the accepting side has to know."""

    def on_wanted(self, session: "LaneSession") -> None:
        """Tell the agent, by control, how many lanes `session.wanted` is now."""
        raise NotImplementedError

    def on_settled(self, source: object) -> None:
        """Act on the end of an admission, granted or not: `source` counts as a client no more."""
        raise NotImplementedError


class LaneSession:
    """Lanes of one session; made by `EdgeLanes.add_session`.

    Attributes:
        session_id: of the session.
        rtt_s: may be set whenever a better measure is known.
        going_away: whether no use may be opened any more.
        idle: idle lanes, the last used one last; to be read only.
        in_use: lanes whose use is not over.
        wanted: lanes that this worker wants in all.
    """

    session_id: bytes
    rtt_s: float
    going_away: bool
    idle: list[Lane]
    in_use: int
    wanted: int

    def open(self, content: bytes, use: LaneUse, *, repeatable: bool) -> bool:
        """Send OPEN on the lane that was used last, and return whether there was an idle one.

        The answer is a call of `use`, after this has returned.

        Args:
            content: of `wire.lane_open.encode`.
            use: told what the agent answers.
            repeatable: whether the client's bytes are a ClientHello without early data, which may
                reach two origins without harm.
        """
        raise NotImplementedError

    def cancel(self, use: LaneUse, code: Code) -> None:
        """Give up a use that is not accepted; its handler is told nothing more."""
        raise NotImplementedError


class EdgeLanes:
    """Lanes of all sessions in one worker.

    Args:
        loop: of the worker.
        memory: of the worker.
        owner: told what control has to know.
        edge_id: 32 bytes, the edge's key.
        certificate_hash: SHA-256 of the certificate that sessions are opened under.
        workers: how many there are.
        admission_s: how long an admission may take in all.

    Attributes:
        half_open: lanes that are not admitted yet.
        admitted: lanes admitted since the start.
        lost: lanes that were lost since the start, by code.
        refused: admissions refused since the start, by code.
    """

    half_open: int
    admitted: int
    lost: dict[Code, int]
    refused: dict[Code, int]

    def __init__(
        self,
        loop: Loop,
        memory: Memory,
        owner: EdgeLanesOwner,
        *,
        edge_id: bytes,
        certificate_hash: bytes,
        workers: int = 1,
        admission_s: float = 5.0,
    ) -> None:
        raise NotImplementedError

    def add_session(self, session_id: bytes, secret: bytes, rtt_s: float) -> LaneSession:
        """Admit lanes of a session from now on, and return its pool."""
        raise NotImplementedError

    def find(self, session_id: bytes) -> LaneSession | None:
        """Return the pool of a session."""
        raise NotImplementedError

    def go_away(self, session_id: bytes) -> None:
        """Close the idle lanes of a session, open no use on it, and let its uses finish."""
        raise NotImplementedError

    def end_session(self, session_id: bytes, *, cut: bool) -> None:
        """Forget a session: uses finish, or are cut at once (revoked, suspended, expired)."""
        raise NotImplementedError

    def admit(self, sock: socket.socket, data: bytes, source: object) -> None:
        """Admit the lane that a connection begins, or refuse it.

        Args:
            sock: non-blocking, in no loop; it belongs to this from now on.
            data: bytes that were read of it, up to `HELLO_BYTES`; the first one is 0xF7.
            source: given to `on_settled`.
        """
        raise NotImplementedError

    def wait(self, sessions: Sequence[LaneSession], waiter: Waiter) -> bool:
        """Wait for a lane of any of the sessions for 3 RTT + 50 ms, 100 ms to 1 s.

        Returns: False if the waiting rooms of all of them are full; the waiter is told nothing then.
        """
        raise NotImplementedError

    def stop_waiting(self, waiter: Waiter) -> None:
        """Forget a waiter, whose client is gone."""
        raise NotImplementedError

    def close_idle(self) -> None:
        """Close idle and half-open lanes for good, and each other one after its use."""
        raise NotImplementedError
