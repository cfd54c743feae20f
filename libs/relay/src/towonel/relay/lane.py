"""Lane: a TCP connection from agent to edge that carries one client connection after another."""

import os
import socket
from typing import Final, override

from towonel.relay.connection import Connection
from towonel.relay.core.lane_state import LaneState, Received
from towonel.relay.frame_writer import FrameWriter
from towonel.relay.loop import Loop
from towonel.relay.memory import BUFFER_BYTES, Memory
from towonel.relay.socket_end import SPLICE_FLAGS
from towonel.wire import lanes
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.lanes import HEAD, HEAD_BYTES, MAX_DATA_BYTES, PROBE_BYTES, USE_BITS, FrameType

RESET_ANSWER_S: Final = 2.0
SPLICE_BYTES: Final = 64 * 1024  # left of a frame, from which on a pipe is worth its calls
_DATA_TAG: Final = FrameType.DATA << 4
_NO_TAG: Final = -1
_LENGTH: Final = 0xFFFFFF


class LaneOwner:
    """Owner of lanes: it is told what the peer asks for, and how each use ends."""

    def on_open(self, lane: "Lane", payload: bytes) -> None:
        """Act on OPEN, at the agent."""
        raise NotImplementedError

    def on_accept(self, lane: "Lane") -> None:
        """Act on ACCEPT, at the edge: give the lane its connection, if it has none."""
        raise NotImplementedError

    def on_reject(self, lane: "Lane", code: Code) -> None:
        """Act on REJECT, at the edge: no byte of the client reached the origin."""
        raise NotImplementedError

    def on_reset(self, lane: "Lane", code: Code) -> None:
        """Act on a RESET that came before there was a connection."""
        raise NotImplementedError

    def on_idle(self, lane: "Lane") -> None:
        """Act on the end of a use, for both sides."""
        raise NotImplementedError

    def on_pong(self, lane: "Lane", payload: bytes) -> None:
        """Act on the answer to a PING."""
        raise NotImplementedError

    def on_deadline(self, lane: "Lane") -> None:
        """Act on a deadline that the owner has armed."""
        raise NotImplementedError

    def on_lost(self, lane: "Lane", code: Code) -> None:
        """Act on the loss of the lane, which is closed; its connection has been reset."""
        raise NotImplementedError


class Lane(FrameWriter):
    """One end of a lane; arguments as of `FrameWriter`, and who owns it."""

    def __init__(
        self, sock: socket.socket, loop: Loop, memory: Memory, state: LaneState, owner: LaneOwner
    ) -> None:
        super().__init__(sock, loop, memory, state)
        self.connection: Connection | None = None
        self._owner = owner
        self._left = 0  # payload of the connection's bytes that is still to come
        self._partial = b""  # a head, or a frame that is taken whole
        self._data_tag = _NO_TAG  # first byte of the head of DATA, while that may come
        self._closed = False

    def lose(self, code: Code) -> None:
        """Close the lane at once, and reset its connection."""
        if self._closed:
            return
        self._closed = True
        connection, self.connection = self.connection, None
        self.close()
        if connection is not None:
            connection.abort(code)
        self._owner.on_lost(self, code)

    # What comes.

    @override
    def on_readable(self) -> None:
        while self.readable and not self._closed and not self._must_wait():
            if self._left >= SPLICE_BYTES and self.connection is not None:
                self.loop.queue(self)
                return
            self._receive()

    @override
    def take_turn(self) -> bool:
        connection = self.connection
        if self._closed or not self.readable or self._must_wait():
            return False
        if connection is None or connection.broken or self._left < SPLICE_BYTES:
            self.on_readable()
            return False
        return self._splice(connection)

    def _must_wait(self) -> bool:
        connection = self.connection
        return connection is not None and not connection.clear and not connection.broken

    def _receive(self) -> None:
        inbox, begun = self.memory.inbox_view, len(self._partial)
        room = inbox
        if begun:
            inbox[:begun] = self._partial
            room = inbox[begun:]
        try:
            count = self.sock.recv_into(room)
        except BlockingIOError:
            self.readable = False
            return
        except OSError:
            self.lose(Code.SESSION_LOST)
            return
        if not count:
            self.lose(Code.SESSION_LOST)
            return
        self._partial = b""
        if begun + count < BUFFER_BYTES and not self.hung_up:
            self.readable = False
        try:
            self._parse(inbox, begun + count)
        except ProtocolError as error:
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
        at = 0
        while at < end and not self._closed:
            if self._left:
                after = min(at + self._left, end)
                self._left -= after - at
                if self.connection is not None:
                    self.connection.deliver(data[at:after])
            else:
                after = self._parse_frame(data, at, end)
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
        if word >> 24 == self._data_tag and 0 < word & _LENGTH <= MAX_DATA_BYTES:
            self._left = word & _LENGTH
            return body
        kind, use, length = lanes.decode_head(word)
        if kind in {FrameType.ACCEPT, FrameType.DATA}:
            self._act(self.state.receive(kind, use), b"")
            self._left = length
            return body
        if body + length > end:
            return at
        self._act(self.state.receive(kind, use), bytes(data[body : body + length]))
        return body + length

    def _act(self, what: Received, payload: bytes) -> None:
        match what:
            case Received.ACCEPTED:
                self.begin_relay()
                self._owner.on_accept(self)
            case Received.ENDED:
                self._end_output()
            case Received.OPENED:
                self._owner.on_open(self, payload)
            case Received.RESET:
                self._fail_use(lanes.decode_code(payload))
            case Received.REJECTED:
                self._reject_use(lanes.decode_code(payload))
            case Received.PING | Received.PONG:
                self._act_on_probe(what, payload)
            case _:  # DATA, which is delivered as it comes, and a RESET that came too late
                pass

    def _act_on_probe(self, what: Received, payload: bytes) -> None:
        if what is Received.PONG:
            self._owner.on_pong(self, payload)
        elif self.clear:  # a peer that does not read its answers gets none
            self.send_frame(lanes.encode_head(FrameType.PONG, 0, PROBE_BYTES) + payload)

    def _end_output(self) -> None:
        self._data_tag = _NO_TAG
        if self.connection is not None:
            self.connection.end_output()
        self._rest_if_idle()

    def _reject_use(self, code: Code) -> None:
        self._owner.on_reject(self, code)
        self.send_reset(code)

    def _fail_use(self, code: Code) -> None:
        self._data_tag = _NO_TAG
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort(code)
        else:
            self._owner.on_reset(self, code)
        self.send_reset(code)  # the last frame that the peer waits for
        self._rest_if_idle()

    # How uses begin and end.

    def begin_relay(self) -> None:
        """Take the connection's bytes from now on: the agent has accepted."""
        self._data_tag = _DATA_TAG | (self.state.use & USE_BITS)

    @override
    def on_clear(self) -> None:
        if self.connection is not None:
            self.connection.on_readable()

    @override
    def on_broken(self) -> None:
        self.lose(Code.SESSION_LOST)

    @override
    def on_last_frame(self) -> None:
        self._rest_if_idle()

    @override
    def on_connection_gone(self) -> None:
        self.connection = None
        if self._closed or self.state.idle:
            return
        self.loop.wheel.arm(self, RESET_ANSWER_S)
        self.loop.queue(self)  # it may have waited for the connection

    @override
    def expire(self) -> None:
        if self.connection is None and not self.state.idle and self.state.sent_last:
            self.lose(Code.SESSION_LOST)
        else:
            self._owner.on_deadline(self)

    def _rest_if_idle(self) -> None:
        if self._closed or not self.state.idle:
            return
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.lane = None  # it sends what it still has, and closes
        self.loop.wheel.disarm(self)
        self._owner.on_idle(self)
