"""Access log: what one line says about a client's connection, and how many lines there may be.

A connection is drawn when it is accepted. One that is not has no record, and costs nothing further.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from towonel.wire.errors import Code

WINDOW_S = 1.0
HUB_WAY: Final = "hub"  # of a client of the hub's own name, which no agent serves


class Way(StrEnum):
    """Way that carried a client from the edge to its agent."""

    LANE = "lane"
    TLS_LANE = "tls_lane"
    STREAM = "stream"


class AccessLine(NamedTuple):
    """Line about one connection that has ended.

    Args:
        trace_id: of its trace context, which its agent was told.
        peer: its client's address and port.
        hostname: that the client asked for.
        tenant_id, service: that the name belongs to.
        agent_id: that served it.
        way: that it took; a `Way`, or `HUB_WAY`.
        code: how it ended.
        bytes_in, bytes_out: from the client, and to it.
        hello_s, accept_s, total_s: from accept until the ClientHello was read, the origin was
            connected, and the end.
    """

    trace_id: bytes
    peer: tuple[str, int]
    hostname: str | None
    tenant_id: bytes | None
    service: str | None
    agent_id: bytes | None
    way: str | None
    code: int
    bytes_in: int
    bytes_out: int
    hello_s: float | None
    accept_s: float | None
    total_s: float


class AccessRecord:
    """Record of a connection for its line, filled in as the connection goes on.

    Args:
        trace_id: 16 random bytes.
        began_at: seconds, of a clock that all processes of the machine share.
    """

    __slots__ = (
        "accepted_at",
        "agent_id",
        "began_at",
        "hello_at",
        "hostname",
        "peer",
        "service",
        "tenant_id",
        "trace_id",
        "way",
    )

    def __init__(self, trace_id: bytes, began_at: float) -> None:
        self.trace_id = trace_id
        self.began_at = began_at
        self.hello_at: float | None = None
        self.accepted_at: float | None = None
        self.peer: tuple[str, int] = ("", 0)
        self.hostname: str | None = None
        self.tenant_id: bytes | None = None
        self.service: str | None = None
        self.agent_id: bytes | None = None
        self.way: Way | Literal["hub"] | None = None

    @property
    def traceparent(self) -> str:
        """The trace context that the connection's agent is told; its span is half of the trace's id.

        Source: W3C Trace Context §3.2.
        """
        return f"00-{self.trace_id.hex()}-{self.trace_id[8:].hex()}-01"

    def finish(self, code: Code, bytes_in: int, bytes_out: int, now: float) -> AccessLine:
        """Return the line about the connection, which has ended."""
        return AccessLine(
            self.trace_id,
            self.peer,
            self.hostname,
            self.tenant_id,
            self.service,
            self.agent_id,
            self.way,
            code,
            bytes_in,
            bytes_out,
            _since(self.began_at, self.hello_at),
            _since(self.began_at, self.accepted_at),
            now - self.began_at,
        )


class LineBudget:
    """Budget of lines: so many in each second."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._began_at = clock()
        self._left = per_second

    def take(self) -> bool:
        """Count one more line, or return False if there were enough."""
        now = self._clock()
        if now - self._began_at >= WINDOW_S:
            self._began_at, self._left = now, self._per_second
        if not self._left:
            return False
        self._left -= 1
        return True


def _since(began_at: float, at: float | None) -> float | None:
    return None if at is None else at - began_at
