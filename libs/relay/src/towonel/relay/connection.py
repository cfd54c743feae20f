"""Connection of a client or origin, relayed over a lane for as long as it lasts.

    socket ── frames ──▶ lane        stops while the lane has pending output
    socket ◀── deliver ── lane       what the socket does not take is pending, and the lane stops

An end of bytes is passed on as one, and a failure as a failure: sockets linger for zero seconds, so that only an
orderly end, for which that is cleared, looks like one. A socket that takes no more may still have an answer under
way, which is carried to its end first. And what the lane has ended before it failed is delivered before the reset.
"""

from collections.abc import Callable
from socket import SocketType
from typing import ClassVar, Protocol, override

from towonel.relay.frame_writer import FrameWriter
from towonel.relay.hop.results import COUNT, FAILED, NOTHING
from towonel.relay.lingering import LingeringEnd
from towonel.relay.loop import BROKEN, ENDED, READABLE, WRITABLE, Loop
from towonel.relay.memory import BUFFER_BYTES
from towonel.relay.pacing.pacer import Pacer
from towonel.relay.pipes import Pipe
from towonel.relay.socket_end import STALL_CHECK_S
from towonel.relay.sockets import tune_lasting
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType


class Owner(Protocol):
    """Owner of connections: it is told how each of them ended."""

    report_crash: Callable[[Exception], None]  # of one that is a bug

    def on_connection_ended(self, connection: "Connection") -> None:
        """Act on the end of a connection, whose `code` and counters are final."""
        ...


class Connection(LingeringEnd):
    """Connection of a client or origin.

    Args:
        sock: as of `SocketEnd`; it lingers for zero seconds.
        loop: where it is registered already.
        lane: its lane, to which it is to be attached, and whose memory its bytes pass through.
        owner: told when it has ended.
        idle_s: how long nothing may move; 0 for as long as it likes.
        first: type of the first frame that is sent: DATA, or the agent's ACCEPT.
        readable: whether bytes may have come already.
        tuned: whether the socket has the options of one that lasts; else it gets them if it does.

    Attributes:
        reset_code, timeout_code: of a failure of this socket; of a peer that is gone, and of the idle limit.
        received, sent: bytes that came from the socket, and that it took.
        pacer: of its tenant's connections, where bandwidth is limited: of both ways.
    """

    reset_code: ClassVar[Code] = Code.CLIENT_CLOSED
    timeout_code: ClassVar[Code] = Code.CLIENT_TIMEOUT
    pacer: Pacer | None = None
    _tuned: bool = True
    _quiet_s: float = 0.0  # without the lane
    _moved: int = 0  # bytes in all, when the idle limit was last looked at
    _input_over: bool = False  # END is sent
    _output_over: bool = False  # END came
    _closed: bool = False

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        lane: FrameWriter,
        owner: Owner,
        *,
        idle_s: float = 0,
        first: FrameType = FrameType.DATA,
        readable: bool = True,
        tuned: bool = True,
    ) -> None:
        super().__init__(sock, loop, lane.memory)
        self.readable = readable
        if not tuned:
            self._tuned = False
        self.lane: FrameWriter | None = lane
        self.received = self.sent = 0
        self._owner = owner
        self._idle_s = idle_s
        self._kind = first
        if idle_s:
            loop.wheel.arm(self, idle_s)

    # From the socket to the lane.

    @override
    def on_readable(self) -> None:
        lane = self.lane
        if lane is None:
            self.discard()
            return
        pacer = self.pacer
        while self._may_forward(lane) and (pacer is None or pacer.admits(self)):
            result = lane.forward(self, self._kind)
            if result <= 0:
                self._act_on_none(lane, result)
                return
            count = result & COUNT
            self.received += count
            if pacer is not None:
                pacer.spend(count)
            self._kind = FrameType.DATA
            if result != count:
                lane.hold_frame(result)
            if count == BUFFER_BYTES or self.is_cut_short():
                self.loop.queue(self)
                return
            if not self.hung_up:
                self.readable = False

    def _may_forward(self, lane: FrameWriter) -> bool:
        return self.readable and lane.clear and lane.state.may_send

    def _act_on_none(self, lane: FrameWriter, result: int) -> None:
        if result == NOTHING:
            self.readable = False
        elif result == FAILED:
            self.fail(self.reset_code)
        else:
            self._end_input(lane)

    @override
    def take_turn(self) -> bool:
        """Splice what has come into the lane; copy it, where there is no pipe."""
        lane = self.lane
        if self.lingering:
            self.discard()
            return False
        if lane is None or not self._may_forward(lane):
            return False
        self.bound_kernel_memory()
        pipe = None if self.pacer is not None else self.memory.pipes.borrow()
        if pipe is None:
            self.on_readable()
            return False  # `on_readable` asks for a turn if there is more
        return self._splice(lane, pipe)

    def accept(self) -> None:
        """Send ACCEPT without bytes, if no bytes went with it before."""
        lane = self.lane
        if lane is not None and self._kind is FrameType.ACCEPT and lane.state.may_send:
            self._kind = FrameType.DATA
            lane.send_frame(lanes.encode_head(FrameType.ACCEPT, lane.state.use, 0))

    def _splice(self, lane: FrameWriter, pipe: Pipe) -> bool:
        count = pipe.fill(self.descriptor)
        if count <= 0:
            self.memory.pipes.give_back(pipe, empty=True)
            self._act_on_none(lane, count)
            return False
        self.received += count
        lane.send_spliced(pipe, count, self._kind)
        self._kind = FrameType.DATA
        return lane.clear

    def _end_input(self, lane: FrameWriter) -> None:
        """Pass on that the socket's bytes are over: one that failed while it was written to reads so, too."""
        self.readable = False
        if self.broken and not self.ended_well:
            self.fail(self.reset_code)
            return
        self._input_over = True
        self.accept()
        lane.send_end()
        if self.broken:
            self.fail(self.reset_code)
        else:
            self._close_if_over()

    @override
    def on_ready(self, events: int) -> None:
        if events & ENDED:
            if events & BROKEN and self._input_over and not self._closed:
                self.fail(self.reset_code)  # nothing is read any more that could show it
                return
            self.hung_up = True
            self.ended_well = self.ended_well or not events & BROKEN
        if events & WRITABLE and not self.clear and not self.broken and self.flush():
            self.on_clear()
        if events & READABLE:
            self.readable = True
            if not self.queued:
                self.on_readable()

    # From the lane to the socket.

    def deliver(self, data: memoryview) -> None:
        """Write bytes that came on the lane."""
        if not self.broken:
            self.sent += self.send(data)

    def deliver_pipe(self, pipe: Pipe, length: int) -> None:
        """Write bytes that came on the lane, and are in a pipe."""
        self.sent += self.send_pipe(pipe, length)

    def end_output(self) -> None:
        """Pass on that the lane's bytes are over, after those that are pending."""
        self._output_over = True
        self._shut_down_if_flushed()

    @override
    def on_sent(self, count: int) -> None:
        self.sent += count

    @override
    def on_clear(self) -> None:
        if self._output_over:
            self._shut_down_if_flushed()
        elif self.lane is not None:
            self.lane.on_readable()

    @override
    def on_broken(self) -> None:
        if self._input_over or self.lingering:
            self.fail(self.reset_code)

    def _shut_down_if_flushed(self) -> None:
        if not self.clear or self._closed:
            return
        if self._input_over:
            self._close_if_over()
        elif not self.shut_down():
            self.fail(self.reset_code)

    def check(self) -> None:
        """Look after a connection that lasts; the lane calls this every few seconds."""
        if not self._tuned:
            self._tuned = True
            tune_lasting(self.sock)
        if self.is_stalled():
            self.fail(self.timeout_code)

    # Its end.

    def fail(self, code: Code) -> None:
        """End both ways: a reset for the socket, and a RESET for the lane, unless it has ended."""
        lane = self.lane
        if lane is not None:
            lane.send_reset(code)
        self.finish(self.code if self.lingering else code)

    def abort(self, code: Code) -> None:
        """End by a reset, since the lane or its other end has failed the connection.

        If all bytes from there had come before, they are delivered first.
        """
        if not self._output_over or self.broken or self._closed:
            self.finish(code)
        else:
            self.lane = None
            self.linger(code)

    @override
    def expire(self) -> None:
        moved = self.received + self.sent
        if self.lingering:
            self.check_progress()
        elif self.lane is None:
            self._check_without_lane(moved)
        elif moved != self._moved:
            self._moved = moved
            self.loop.wheel.arm(self, self._idle_s)
        else:
            self.fail(self.timeout_code)

    def _check_without_lane(self, moved: int) -> None:
        self._quiet_s = self._quiet_s + STALL_CHECK_S if moved == self._moved else 0.0
        self._moved = moved
        self.loop.wheel.arm(self, STALL_CHECK_S)
        if 0 < self._idle_s <= self._quiet_s:
            self.fail(self.timeout_code)
        else:
            self.check()

    def _close_if_over(self) -> None:
        if self._input_over and self._output_over and self.clear and not self._closed:
            self.close_in_order()

    @override
    def finish(self, code: Code) -> None:
        if self._closed:
            return
        self._closed = True
        self.lingering = False
        self.code = code
        lane, self.lane = self.lane, None
        self.close()
        if self.pacer is not None:
            self.pacer.forget(self)
        if lane is not None:
            lane.on_connection_gone()
        self._owner.on_connection_ended(self)
