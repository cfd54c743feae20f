"""Connection to an origin, relayed over a lane, which remembers how the origin began and ended it."""

import socket
from typing import TYPE_CHECKING, Final, override

from towonel.agent.core.proxy_header import ALERT_BYTES, is_unread
from towonel.relay.connection import Connection, Owner
from towonel.relay.core.stall import INFO_BYTES, StallDetector
from towonel.relay.frame_writer import FrameWriter
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

if TYPE_CHECKING:
    from towonel.relay.agent_lanes import AgentLane
    from towonel.wire.names import ServiceKey

STALL_CHECK_S: Final = 5.0


class OriginConnection(Connection):
    """Connection to an origin, whose socket is connected and in the loop.

    Args:
        sock: as of `Connection`.
        lane: of the client.
        owner: told when it has ended.
        service: of the origin.
        header: of PROXY, in front of the client's bytes; empty for an origin that wants none.
    """

    def __init__(
        self,
        sock: socket.socket,
        lane: "AgentLane",
        owner: Owner,
        service: "ServiceKey",
        header: bytes,
    ) -> None:
        super().__init__(
            sock,
            lane.loop,
            lane.memory,
            lane,
            owner,
            reset=Code.ORIGIN_RESET,
            first=FrameType.ACCEPT,
            readable=False,
        )
        self.service = service
        self.ended_after_s: float | None = None  # where the origin ended it, and not the client
        self._header = header
        self._first_bytes = b""
        self._opened_at = lane.loop.wheel.now
        self._stall = StallDetector()
        lane.loop.wheel.arm(self, STALL_CHECK_S)

    @property
    def to_origin(self) -> int:
        """Bytes of the client that the origin's socket took."""
        return max(0, self.sent - len(self._header))

    @property
    def header_unread(self) -> bool:
        """Whether the origin probably took the PROXY header for something else."""
        after_s = self.ended_after_s
        return bool(self._header and after_s is not None and is_unread(self._first_bytes, after_s))

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
        if self.lingering:
            super().expire()
            return
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
        if self._stall.check(info, self.loop.wheel.now):
            self.fail(Code.ORIGIN_TIMEOUT)
        else:
            self.loop.wheel.arm(self, STALL_CHECK_S)

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
