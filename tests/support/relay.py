"""Relay of the tests: both ends of lanes in one loop, between clients and origins over TCP."""

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from support.callback_handler import CallbackHandler
from support.edge_identity import CERTIFICATE, CERTIFICATE_HASH, EDGE_ID, KEY
from support.engine import engine_of_test

from towonel.relay.agent_lanes import (
    AgentLane,
    AgentLanes,
    AgentLaneSession,
    AgentUse,
    LaneKind,
    LaneTarget,
)
from towonel.relay.connection import Connection
from towonel.relay.edge_lanes import EdgeLane, EdgeLanes, LaneSession
from towonel.relay.hop.choice import load_hop
from towonel.relay.loop import Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import MAX_PIPES, PipePool
from towonel.relay.sockets import tune
from towonel.relay.tls.lane_tls import EdgeTls
from towonel.wire.errors import Code
from towonel.wire.lane_open import MORE
from towonel.wire.lanes import FrameType

SESSION, SECRET, WAIT_S = b"s" * 16, b"k" * 32, 10.0
LINGER_S = 0.3  # for a peer that does nothing
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


class Clock:
    """Clock that tests can put forward, and slow down; what waits in a poll has to be woken."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self._speed = 1.0
        self._from = self._began = time.monotonic()

    def __call__(self) -> float:
        return self._from + (time.monotonic() - self._began) * self._speed + self.ahead_s

    def slow_down(self, speed: float) -> None:
        """Run with a part of the speed from now on: a machine with much to do misses no deadline."""
        self._from, self._began = self() - self.ahead_s, time.monotonic()
        self._speed = speed


class Acceptor:
    """Listener of the edge, which takes every connection for a lane, plain or inside TLS."""

    def __init__(self, loop: Loop, lanes: EdgeLanes) -> None:
        self.is_tls = False
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        tune(self.sock)
        self.sock.setblocking(False)
        self.address: tuple[str, int] = self.sock.getsockname()
        self._loop, self._lanes = loop, lanes
        handler = CallbackHandler(on_ready=self.on_ready)
        loop.add(self.sock.fileno(), handler, select.EPOLLIN)

    def on_ready(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):
                sock = self.sock.accept()[0]
                sock.setblocking(False)
                admit = self._lanes.admit_tls if self.is_tls else self._lanes.admit
                admit(sock, b"", None)

    def close(self) -> None:
        """Close the listener."""
        self._loop.forget(self.sock.fileno())
        self.sock.close()


def raise_bug(error: Exception) -> None:
    """Raise the exception that a connection was ended for, which is a bug."""
    raise error


class ConnectionLog:
    """Owner of connections, which notes how they ended."""

    def __init__(self) -> None:
        self.idle_s = 0.0  # of the connections to come
        self.ended: list[Ended] = []
        self.gone = threading.Semaphore(0)
        self.report_crash: Callable[[Exception], None] = raise_bug

    def on_connection_ended(self, connection: Connection) -> None:
        self.note(connection.code, connection.received, connection.sent)

    def note(self, code: Code, received: int = 0, sent: int = 0) -> None:
        """Note the end of a connection."""
        self.ended.append(Ended(code, received, sent))
        self.gone.release()


class EdgeEnd(ConnectionLog):
    """The edge's end: the lanes of one session, and the listener they come to."""

    def __init__(self, loop: Loop, memory: Memory, **limits: float) -> None:
        super().__init__()
        self.loop, self.memory = loop, memory
        self.wanted: list[int] = []
        self.tell_agent: Callable[[int], object] = self.wanted.append
        self.settled: list[object] = []
        self.lanes = EdgeLanes(
            loop,
            memory,
            self,
            edge_id=EDGE_ID,
            certificate_hash=CERTIFICATE_HASH,
            tls=EdgeTls(CERTIFICATE, KEY),
            admission_s=limits.get("admission_s", 5.0),
            max_half_open=int(limits.get("max_half_open", 256)),
            max_unsent=int(limits.get("max_unsent", 512)),
        )
        self.session = self.lanes.add_session(SESSION, SECRET, 0.001)
        self.acceptor = Acceptor(loop, self.lanes)

    @property
    def lane(self) -> EdgeLane:
        """The lane that was used most."""
        return max((*self.session.idle, *self.session.busy), key=lambda lane: lane.state.use)

    def on_wanted(self, session: LaneSession) -> None:
        self.tell_agent(session.wanted)

    def on_settled(self, source: object) -> None:
        self.settled.append(source)


@dataclass
class ClientUse:
    """Client of the edge, whose socket is relayed once it is accepted."""

    edge: EdgeEnd
    sock: socket.socket
    failures: list[tuple[Code, bool]] = field(default_factory=list[tuple[Code, bool]])
    lane: EdgeLane | None = field(default=None, init=False)

    def on_accepted(self, lane: EdgeLane) -> None:
        lane.attach(self.connect(lane))

    def connect(self, lane: EdgeLane) -> Connection:
        """Return the connection of the client."""
        self.sock.setblocking(False)
        edge = self.edge
        connection = Connection(self.sock, edge.loop, lane, edge, idle_s=edge.idle_s)
        connection.linger_s = LINGER_S
        edge.loop.add(self.sock.fileno(), connection)
        return connection

    def on_failed(self, code: Code, *, may_retry: bool) -> None:
        self.failures.append((code, may_retry))
        self.sock.close()
        self.edge.note(code)


class AgentEnd(ConnectionLog):
    """The agent's end: each OPEN gets the next origin, with the first bytes of the client.

    An origin that is missing is a refused one, and a code one that is not answered yet.
    """

    def __init__(self, loop: Loop, memory: Memory, max_unsent: int) -> None:
        super().__init__()
        self.loop, self.memory = loop, memory
        self.origins: list[socket.socket | Code | None] = []
        self.origins_by_name: dict[bytes, socket.socket] = {}
        self.dialed: set[bytes] = set()
        self.opened: list[tuple[AgentLane, bytes]] = []
        self.cancelled: list[Code] = []
        self.reports: list[Code | None] = []  # failures, and None for a recovery
        self.lanes = AgentLanes(loop, memory, self, max_unsent=max_unsent)

    @property
    def session(self) -> AgentLaneSession:
        """The agent's one session."""
        return self.lanes.sessions[SESSION]

    @property
    def lane(self) -> AgentLane:
        """The lane that was used most."""
        return max((*self.session.idle, *self.session.busy), key=lambda lane: lane.state.use)

    def on_open(self, lane: AgentLane, content: bytes) -> AgentUse | None:
        self.opened.append((lane, content))
        if self.origins_by_name:
            return self._dial_by_name(lane, content[1:])
        origin = self.origins.pop(0)
        if origin is None:
            lane.reject(Code.ORIGIN_REFUSED)
        elif isinstance(origin, socket.socket):
            self.accept(lane, origin, content[1:])
        return self

    def _dial_by_name(self, lane: AgentLane, name: bytes) -> AgentUse:
        assert name not in self.dialed, "a client reached two origins"
        origin = self.origins_by_name.get(name)
        if origin is None or origin.fileno() < 0:
            lane.reject(Code.NO_SERVICE)
        else:
            self.dialed.add(name)
            self.accept(lane, origin, name)
        return self

    def accept(self, lane: AgentLane, origin: socket.socket, first: bytes) -> None:
        """Relay an origin over the lane."""
        connection = self.connect(lane, origin)
        connection.deliver(memoryview(first))
        lane.accept(connection)

    def accept_failed(self, lane: AgentLane, origin: socket.socket) -> None:
        """Relay an origin that has failed over the lane."""
        (connection := self.connect(lane, origin)).fail(Code.CLIENT_CLOSED)
        lane.accept(connection)

    def connect(self, lane: AgentLane, origin: socket.socket) -> Connection:
        """Return the connection of an origin."""
        origin.setblocking(False)
        connection = Connection(
            origin,
            self.loop,
            lane,
            self,
            idle_s=self.idle_s,
            first=FrameType.ACCEPT,
            tuned=False,
        )
        connection.linger_s = LINGER_S
        self.loop.add(origin.fileno(), connection)
        return connection

    def on_cancelled(self, code: Code) -> None:
        self.cancelled.append(code)

    def on_lanes_failed(self, session: AgentLaneSession, code: Code) -> None:
        self.reports.append(code)

    def on_lanes_working(self, session: AgentLaneSession) -> None:
        self.reports.append(None)


class Calls:
    """Calls from other threads, made in the loop's."""

    def __init__(self, loop: Loop) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.add(self._wake, CallbackHandler(on_ready=self.on_ready), select.EPOLLIN)

    def call[T](self, function: Callable[[], T]) -> T:
        """Return what `function` returns, called in the loop."""
        done: SimpleQueue[T] = SimpleQueue()
        self._calls.put(lambda: done.put(function()))
        os.eventfd_write(self._wake, 1)
        return done.get(timeout=WAIT_S)

    def on_ready(self, events: int) -> None:
        os.eventfd_read(self._wake)
        with contextlib.suppress(Empty):
            while True:
                self._calls.get_nowait()()

    def close(self) -> None:
        os.close(self._wake)


class Relay:
    """An edge's and an agent's lanes of one session, in a loop of their own thread."""

    def __init__(
        self, *, pipes: int = MAX_PIPES, lanes: int = 1, tls: bool = False, **limits: float
    ) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.memory = Memory(PipePool(pipes), load_hop(engine_of_test()))
        self.calls = Calls(self.loop)
        self.edge = EdgeEnd(self.loop, self.memory, **limits)
        self.agent = AgentEnd(self.loop, self.memory, int(limits.get("max_unsent", 512)))
        identity = SESSION, SECRET, EDGE_ID, CERTIFICATE_HASH
        self.target = LaneTarget(*identity, self.edge.acceptor.address)
        if tls:
            self.edge.acceptor.is_tls = True
            self.target = replace(self.target, kinds=(LaneKind.TLS,))
        self._thread = ThreadPoolExecutor(1)
        self._running = self._thread.submit(self.loop.run)
        if lanes:
            self.calls.call(lambda: self.agent.lanes.add_session(self.target, lanes))
            self.wait(lambda: len(self.edge.session.idle) == lanes)

    def open_use(
        self, first: bytes = b"hello", *, refused: bool = False, more: bool = False
    ) -> "Use":
        """Let a client use the lane, and return its socket and that of its origin."""
        client, at_edge = tcp_pair()
        origin, at_agent = tcp_pair()
        self.agent.origins.append(None if refused else at_agent)
        if refused:
            at_agent.close()
        content = bytes([MORE if more else 0]) + first
        use = ClientUse(self.edge, at_edge)
        session = self.edge.session
        assert self.calls.call(lambda: session.open(content, use, repeatable=False)), "none is idle"
        return Use(client, origin, self, use)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in the loop, and wait until it has acted on that."""
        self.clock.ahead_s += seconds
        for _ in range(3):
            self.calls.call(lambda: None)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, which is looked at in the loop's thread."""
        until = time.monotonic() + WAIT_S
        while not self.calls.call(condition):
            assert time.monotonic() < until, "the condition did not come true"
            threading.Event().wait(0.002)

    def close(self) -> None:
        """End the loop, and raise what it raised."""
        self.calls.call(self._end)
        self._running.result(WAIT_S)
        self._thread.shutdown()
        self.calls.close()
        self.memory.pipes.close()
        self.loop.close()

    def _end(self) -> None:
        for session_id in list(self.agent.lanes.sessions):
            self.agent.lanes.end_session(session_id, cut=Code.NORMAL)
        self.edge.lanes.close_idle()
        self.edge.lanes.end_session(SESSION, cut=Code.NORMAL)
        self.edge.acceptor.close()
        for origin in self.agent.origins:
            if isinstance(origin, socket.socket):
                origin.close()
        self.loop.stop()


@dataclass
class Use:
    """A client and its origin while they use the lane."""

    client: socket.socket
    origin: socket.socket
    relay: Relay
    at_edge: ClientUse

    def wait_ended(self) -> tuple[Ended, Ended]:
        """Return how the connection ended at the edge and at the agent."""
        edge, agent = self.relay.edge, self.relay.agent
        assert all(end.gone.acquire(timeout=WAIT_S) for end in (edge, agent)), "it has not ended"
        return edge.ended[-1], agent.ended[-1]

    def wait_idle(self) -> None:
        """Wait until no lane is in use at either end."""
        edge, agent = self.relay.edge, self.relay.agent
        self.relay.wait(lambda: not edge.session.busy and not agent.session.busy)

    def close(self) -> None:
        self.client.close()
        self.origin.close()
