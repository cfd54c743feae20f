"""Connection to an origin, relayed over a lane, which remembers how the origin began and ended it."""

import socket
from socket import SocketType
from typing import TYPE_CHECKING, ClassVar, override

from towonel.agent.core.proxy_header import ALERT_BYTES, is_unread
from towonel.relay.connection import Connection
from towonel.relay.frame_writer import FrameWriter
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

if TYPE_CHECKING:
    from towonel.agent.worker.clients import Clients
    from towonel.relay.agent_lanes import AgentLane
    from towonel.wire.names import ServiceKey


class OriginConnection(Connection):
    """Connection to an origin, whose socket is connected and in the loop.

    Args:
        sock: as of `Connection`.
        lane: of the client.
        clients: told when it has ended.
        service: of the origin.
        header: of PROXY, in front of the client's bytes; empty for an origin that wants none.
        idle_s: how long the client may send and get nothing; 0 for as long as it likes.

    Attributes:
        ended_after_s: how long it lasted where the origin ended it, and not the client.
    """

    reset_code: ClassVar[Code] = Code.ORIGIN_RESET
    timeout_code: ClassVar[Code] = Code.ORIGIN_TIMEOUT
    ended_after_s: float | None = None
    _first_bytes: bytes = b""

    def __init__(
        self,
        sock: SocketType,
        lane: "AgentLane",
        clients: "Clients",
        service: "ServiceKey",
        header: bytes,
        idle_s: float,
    ) -> None:
        super().__init__(
            sock,
            lane.loop,
            lane,
            clients,
            idle_s=idle_s,
            first=FrameType.ACCEPT,
            readable=False,
            tuned=False,
        )
        self.service = service
        self._header = header
        self._opened_at = lane.loop.wheel.now

    @property
    def to_origin(self) -> int:
        """Bytes of the client that the origin's socket took."""
        return max(0, self.sent - len(self._header))

    @property
    def header_unread(self) -> bool:
        """Whether the origin probably took the PROXY header for something else."""
        after_s = self.ended_after_s
        if not self._header or after_s is None:
            return False
        return is_unread(self.service.kind, self._first_bytes, after_s)

    def begin(self, first: bytes) -> None:
        """Send the client's first bytes, after the header."""
        data = self._header + first
        if data:
            self.deliver(memoryview(data))

    @override
    def on_readable(self) -> None:
        if not self.received and self._header:
            self._look_at_first_bytes()
        super().on_readable()

    @override
    def fail(self, code: Code) -> None:
        if code is Code.ORIGIN_RESET:
            self._note_end()
        super().fail(code)

    @override
    def expire(self) -> None:
        is_relaying = self.lane is not None and not self.lingering
        if is_relaying and self.received + self.sent == self._moved:
            self.fail(Code.CLIENT_TIMEOUT)  # as an edge says it of its own limit
        else:
            super().expire()

    @override
    def crash(self, error: Exception) -> None:
        self._owner.report_crash(error)
        self.fail(Code.INTERNAL)

    @override
    def _end_input(self, lane: FrameWriter) -> None:
        self._note_end()
        super()._end_input(lane)

    def _look_at_first_bytes(self) -> None:
        """Keep the first bytes of the answer, which are read soon."""
        try:
            self._first_bytes = self.sock.recv(ALERT_BYTES, socket.MSG_PEEK)
        except OSError:
            return  # whoever reads them says why

    def _note_end(self) -> None:
        if not self._output_over and self.ended_after_s is None:
            self.ended_after_s = self.loop.wheel.now - self._opened_at
