"""Reader of frames from a lane's socket: bytes of the connection are passed on as they come.

A peer can send frames faster than they are acted on, each of a few bytes. So some of them are at a time, and
the others of what was read wait for a turn of the lane, as bulk does.
"""

import os
from socket import SocketType
from typing import Final, override

from towonel.relay.connection import Connection
from towonel.relay.core.lane_state import LaneState, Received
from towonel.relay.frame_writer import FrameWriter
from towonel.relay.hop import interpreted
from towonel.relay.hop.results import COUNT, FAILED, NOTHING, PARSE
from towonel.relay.loop import BROKEN, ENDED, READABLE, WRITABLE, Loop
from towonel.relay.memory import BUFFER_BYTES, Memory
from towonel.relay.pipes import SPLICE_FLAGS
from towonel.wire import lanes
from towonel.wire.errors import Code, TowonelError
from towonel.wire.lanes import HEAD, HEAD_BYTES, MAX_DATA_BYTES, USE_BITS, FrameType

SPLICE_BYTES: Final = 64 * 1024  # left of a frame, from which on a pipe is worth its calls
FRAMES_AT_ONCE: Final = 32  # more than an honest peer sends at once, but for many short messages
_DATA_HEAD: Final = FrameType.DATA << 28
_NO_HEAD: Final = -1
_USE_SHIFT: Final = 24
_LENGTH: Final = 0xFFFFFF


class FrameReader(FrameWriter):
    """Receiving half of a lane, beside the sending one; arguments as of `FrameWriter`.

    Attributes:
        connection: relayed over the lane now.
        closed: whether the lane is lost, or closed.
    """

    def __init__(self, sock: SocketType, loop: Loop, memory: Memory, state: LaneState) -> None:
        super().__init__(sock, loop, memory, state)
        self.connection: Connection | None = None
        self.closed = False
        self._left = 0  # payload of the connection's bytes that is still to come
        self._partial = b""  # a head, or a frame that is taken whole
        self._unread = b""  # frames that were received, and wait for a turn
        self._data_head = _NO_HEAD  # of DATA without its length, while that may come

    def act(self, what: Received, payload: bytes) -> None:
        """Act on a frame, of which DATA and what follows ACCEPT is delivered afterwards.

        Raises:
            TowonelError: the lane is closed for it.
        """
        raise NotImplementedError

    def lose(self, code: Code) -> None:
        """Close the lane at once, and reset its connection."""
        raise NotImplementedError

    def take_data(self) -> None:
        """Deliver DATA of this use from now on."""
        self._data_head = _DATA_HEAD | (self.state.use & USE_BITS) << _USE_SHIFT

    def refuse_data(self) -> None:
        """Take no DATA of this use unless the state allows it."""
        self._data_head = _NO_HEAD

    @override
    def on_ready(self, events: int) -> None:
        if events & BROKEN:
            self.lose(Code.SESSION_LOST)  # at once, although the connection may not take more now
            return
        if events & ENDED:
            self.hung_up = self.ended_well = True
        if events & WRITABLE and not self.clear and not self.broken and self.flush():
            self.on_clear()
        if events & READABLE:
            self.readable = True
            self.on_readable()

    @override
    def on_readable(self) -> None:
        """Read once; what there is beyond that has a turn, as other lanes have."""
        if self.queued or not self.readable or self.closed:
            return
        connection = self.connection
        if connection is not None and not connection.broken:
            pacer = connection.pacer
            if not connection.clear or not (pacer is None or pacer.admits(self)):
                return
            if self._left >= SPLICE_BYTES and pacer is None:
                self.loop.queue(self)
                return
        if self._unread:
            self._parse_unread()
        else:
            self._receive()
        if self.readable:
            self.loop.queue(self)

    @override
    def take_turn(self) -> bool:
        connection = self.connection
        if (
            connection is None
            or connection.broken
            or connection.pacer is not None
            or self._left < SPLICE_BYTES
        ):
            self.on_readable()
            return False
        may_splice = self.readable and not self.closed and connection.clear
        return may_splice and self._splice(connection)

    def _receive(self) -> None:
        inbox, begun, connection = self.memory.inbox_view, len(self._partial), self.connection
        if begun or self._left or self._data_head < 0 or connection is None or connection.broken:
            result = self._receive_after(inbox, begun)
        else:
            result = self._deliver_to(connection)
        if result == NOTHING:
            self.readable = False
            return
        if result <= 0:
            self.lose(Code.SESSION_LOST)
            return
        end = begun + (result & COUNT)
        if connection is not None and connection.pacer is not None:
            connection.pacer.spend(result & COUNT)
        self.readable = self.hung_up or end == BUFFER_BYTES or self.is_cut_short()
        if self.readable:
            self.bound_kernel_memory()
        if result & PARSE:
            self._try_parse(inbox, end)
        elif connection is not None:
            connection.sent += connection.hold_rest(inbox[HEAD_BYTES:end], result)

    def _deliver_to(self, connection: Connection) -> int:
        """Deliver one whole DATA frame, if that is all there is: a short message."""
        memory = self.memory
        if memory.hop is not None:
            return memory.hop.deliver(
                self.descriptor, connection.descriptor, memory.inbox, self._data_head
            )
        return interpreted.deliver(self.sock, connection.sock, memory.inbox_view, self._data_head)

    def _receive_after(self, inbox: memoryview, begun: int) -> int:
        """Receive what is to be parsed, after what was received before."""
        if begun:
            inbox[:begun] = self._partial
        try:
            count = self.sock.recv_into(inbox[begun:])
        except BlockingIOError:
            return NOTHING
        except OSError:
            return FAILED
        self._partial = b""
        return count | PARSE if count else 0

    def _parse_unread(self) -> None:
        unread, self._unread = self._unread, b""
        self._try_parse(memoryview(unread), len(unread))

    def _try_parse(self, data: memoryview, end: int) -> None:
        try:
            self._parse(data, end)
        except TowonelError as error:
            self.lose(error.code)

    def _splice(self, connection: Connection) -> bool:
        pipes = self.memory.pipes
        pipe = pipes.borrow()
        if pipe is None:
            self._receive()
            return self.readable
        try:
            most = min(self._left, pipe.size)
            count = os.splice(self.descriptor, pipe.writer, most, flags=SPLICE_FLAGS)
        except BlockingIOError:
            pipes.give_back(pipe, empty=True)
            self.readable = False
            return False
        except OSError:
            count = 0
        if not count:
            pipes.give_back(pipe, empty=True)
            self.lose(Code.SESSION_LOST)
            return False
        self._left -= count
        connection.deliver_pipe(pipe, count)
        return True

    def _parse(self, data: memoryview, end: int) -> None:
        at, frames = 0, FRAMES_AT_ONCE
        while at < end and not self.closed:
            if self._left:
                after = min(at + self._left, end)
                self._left -= after - at
                if self.connection is not None:
                    self.connection.deliver(data[at:after])
            elif frames:
                frames -= 1
                after = self._parse_frame(data, at, end)
            else:
                self._unread = bytes(data[at:end])
                self.readable = True
                return
            if after == at:
                self._partial = bytes(data[at:end])
                return
            at = after

    def _parse_frame(self, data: memoryview, at: int, end: int) -> int:
        """Take a frame, or the head of one whose payload is delivered, and return where it ends."""
        body = at + HEAD_BYTES
        if body > end:
            return at
        (word,) = HEAD.unpack_from(data, at)
        length = word & _LENGTH
        if word - length == self._data_head and 0 < length <= MAX_DATA_BYTES:
            self._left = length
            return body
        kind, use, length = lanes.decode_head(word)
        if kind is FrameType.ACCEPT or kind is FrameType.DATA:  # a set would be made each time
            self.act(self.state.receive(kind, use), b"")
            self._left = length
            return body
        if body + length > end:
            return at
        self.act(self.state.receive(kind, use), bytes(data[body : body + length]))
        return body + length
