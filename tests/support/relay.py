"""Relay of the tests: both ends of lanes in one loop, between clients and origins over TCP."""

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import override

from towonel.relay.connection import Connection, Owner
from towonel.relay.core.lane_state import LaneState
from towonel.relay.lane import Lane, LaneOwner
from towonel.relay.loop import Handler, Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

WAIT_S = 20.0
ABORT = struct.pack("ii", 1, 0)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Return the ends of a TCP connection over loopback; the second one aborts when it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other = server.accept()[0]
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(WAIT_S)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    return one, other


@dataclass
class Ended:
    """How one end of a connection ended."""

    code: Code
    received: int
    sent: int


@dataclass
class End(LaneOwner, Owner):
    """Owner of one end of a lane, and of its connections."""

    relay: "Relay"
    lane: Lane = field(init=False)
    ended: list[Ended] = field(default_factory=list[Ended])
    lost: list[Code] = field(default_factory=list[Code])
    idle: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gone: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @override
    def on_connection_ended(self, connection: Connection) -> None:
        self.ended.append(Ended(connection.code, connection.received, connection.sent))
        self.gone.release()

    @override
    def on_idle(self, lane: Lane) -> None:
        self.idle.release()

    @override
    def on_lost(self, lane: Lane, code: Code) -> None:
        self.lost.append(code)
        self.idle.release()

    @override
    def on_reset(self, lane: Lane, code: Code) -> None:
        pass

    def take(self, sock: socket.socket, *, is_edge: bool) -> None:
        """Make a socket this end of the lane."""
        sock.setblocking(False)
        loop, memory = self.relay.loop, self.relay.memory
        self.lane = Lane(sock, loop, memory, LaneState(is_edge=is_edge), self)
        loop.add(sock.fileno(), self.lane)

    @override
    def on_reject(self, lane: Lane, code: Code) -> None:
        assert lane.connection is not None, "the client waits"
        lane.connection.abort(code)

    def connect(self, sock: socket.socket, first: FrameType = FrameType.DATA) -> Connection:
        """Relay a socket over the lane from now on."""
        sock.setblocking(False)
        connection = Connection(
            sock,
            self.relay.loop,
            self.relay.memory,
            self.lane,
            self,
            reset=Code.CLIENT_CLOSED,
            first=first,
        )
        self.lane.connection = connection
        self.relay.loop.add(sock.fileno(), connection)
        return connection


class EdgeEnd(End):
    """The edge's end: a use has its client before it is accepted."""

    @override
    def on_accept(self, lane: Lane) -> None:
        assert lane.connection is not None
        lane.connection.on_readable()


class AgentEnd(End):
    """The agent's end: each OPEN gets the next origin, with the first bytes of the client."""

    @override
    def on_open(self, lane: Lane, payload: bytes) -> None:
        origin = self.relay.origins.pop(0)
        if origin is None:
            lane.state.reject()
            lane.send_frame(
                lanes.encode_code(FrameType.REJECT, lane.state.use, Code.ORIGIN_REFUSED)
            )
            return
        lane.state.accept()
        lane.begin_relay()
        connection = self.connect(origin)
        lane.send_frame(lanes.encode_head(FrameType.ACCEPT, lane.state.use, 0))
        connection.deliver(memoryview(payload))


class Calls(Handler):
    """Calls from other threads, made in the loop's."""

    def __init__(self, loop: Loop) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.add(self._wake, self, select.EPOLLIN)

    def call[T](self, function: Callable[[], T]) -> T:
        """Return what `function` returns, called in the loop."""
        done: SimpleQueue[T] = SimpleQueue()
        self._calls.put(lambda: done.put(function()))
        os.eventfd_write(self._wake, 1)
        return done.get(timeout=WAIT_S)

    @override
    def on_ready(self, events: int) -> None:
        os.eventfd_read(self._wake)
        with contextlib.suppress(Empty):
            while True:
                self._calls.get_nowait()()

    def close(self) -> None:
        os.close(self._wake)


class Relay:
    """A lane between an edge's end and an agent's, in a loop of its own thread."""

    def __init__(self, *, pipes: int) -> None:
        self.loop = Loop()
        self.memory = Memory(PipePool(pipes))
        self.origins: list[socket.socket | None] = []
        self.edge, self.agent = EdgeEnd(self), AgentEnd(self)
        self.calls = Calls(self.loop)
        edge, agent = tcp_pair()
        self.edge.take(edge, is_edge=True)
        self.agent.take(agent, is_edge=False)
        self._thread = ThreadPoolExecutor(1)
        self._running = self._thread.submit(self.loop.run)

    def open_use(self, first: bytes = b"hello", *, refused: bool = False) -> "Use":
        """Let a client use the lane, and return its socket and that of its origin."""
        client, at_edge = tcp_pair()
        origin, at_agent = tcp_pair()
        self.origins.append(None if refused else at_agent)
        if refused:
            at_agent.close()

        def begin() -> None:
            lane = self.edge.lane
            use = lane.state.open()
            self.edge.connect(at_edge)
            lane.send_frame(lanes.encode_head(FrameType.OPEN, use, len(first)) + first)

        self.calls.call(begin)
        return Use(client, origin, self)

    def close(self) -> None:
        """End the loop, and raise what it raised."""
        self.calls.call(self.loop.stop)
        self._running.result(WAIT_S)
        for end in (self.edge, self.agent):
            end.lane.lose(Code.NORMAL)
        self._thread.shutdown()
        self.calls.close()
        self.memory.pipes.close()
        self.loop.close()


@dataclass
class Use:
    """A client and its origin while they use the lane."""

    client: socket.socket
    origin: socket.socket
    relay: Relay

    def wait_ended(self) -> tuple[Ended, Ended]:
        """Return how the connection ended at the edge and at the agent."""
        ends = self.relay.edge, self.relay.agent
        assert all(end.gone.acquire(timeout=WAIT_S) for end in ends), "it has not ended"
        return ends[0].ended[-1], ends[1].ended[-1]

    def wait_idle(self) -> None:
        """Wait until the lane is idle at both ends."""
        ends = self.relay.edge, self.relay.agent
        assert all(end.idle.acquire(timeout=WAIT_S) for end in ends), "it is not idle"

    def close(self) -> None:
        self.client.close()
        self.origin.close()
