"""Writer of frames to a lane's socket: a frame once begun is finished before another is sent."""

import socket
from socket import SocketType
from typing import override

from towonel.relay.core.lane_state import LaneState
from towonel.relay.hop import interpreted
from towonel.relay.hop.results import COUNT
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import Pipe
from towonel.relay.socket_end import SocketEnd
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import HEAD_BYTES, USE_BITS, FrameType


class FrameWriter(SocketEnd):
    """Sending half of a lane; arguments as of `SocketEnd`, and which frames may be sent."""

    def __init__(self, sock: SocketType, loop: Loop, memory: Memory, state: LaneState) -> None:
        super().__init__(sock, loop, memory)
        self.state = state
        self._after_pipe = b""  # whole frames, of a few bytes each

    def forward(self, source: SocketEnd, kind: FrameType = FrameType.DATA) -> int:
        """Send what has come to a connection's socket, as one frame; the lane must be clear.

        Returns:
            As of `hop.results`; what is not sent is to be held.
        """
        memory, head = self.memory, kind << 28 | (self.state.use & USE_BITS) << 24
        if memory.hop is not None:
            return memory.hop.forward(source.descriptor, self.descriptor, memory.frame, head)
        return interpreted.forward(source.sock, self.sock, memory.frame_view, head)

    def hold_frame(self, result: int) -> None:
        """Hold what `forward` did not send."""
        self.hold_rest(self.memory.frame_view[: HEAD_BYTES + (result & COUNT)], result)

    def send_spliced(self, pipe: Pipe, length: int, kind: FrameType = FrameType.DATA) -> None:
        """Send the `length` bytes of a pipe; the lane must be clear."""
        self.send(lanes.encode_head(kind, self.state.use, length), socket.MSG_MORE)
        self.send_pipe(pipe, length)

    def send_frame(self, frame: bytes) -> None:
        """Send a whole frame of a few bytes, after what is pending."""
        if self._pipe is not None:
            self._after_pipe += frame
        else:
            self.send(frame)

    def send_end(self) -> None:
        """Send END: the connection's bytes are over."""
        self.state.end()
        self.send_frame(lanes.encode_head(FrameType.END, self.state.use, 0))
        self.on_last_frame()

    def send_reset(self, code: Code) -> None:
        """Send RESET, unless the peer knows already that the use is over."""
        if self.state.may_reset:
            self.state.reset()
            self.send_frame(lanes.encode_code(FrameType.RESET, self.state.use, code))
            self.on_last_frame()

    def on_last_frame(self) -> None:
        """Act on the end of what this side sends in the use."""
        raise NotImplementedError

    def on_connection_gone(self) -> None:
        """Act on the end of the connection; what still comes for it is dropped."""
        raise NotImplementedError

    @override
    def flush(self) -> bool:
        if super().flush() and self._after_pipe:
            after, self._after_pipe = self._after_pipe, b""
            self.send(after)
        return self.clear
