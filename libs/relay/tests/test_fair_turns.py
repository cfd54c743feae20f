"""Fair turns: who has much to say, or says it in tiny frames, does not keep the others waiting."""

import select
import socket
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, override

import pytest
from support.callback_handler import CallbackHandler
from support.lane_peers import receive
from support.relay import LINGER_S, ConnectionLog, tcp_pair

from towonel.relay.connection import Connection
from towonel.relay.core.lane_counts import LaneCounts, count_columns, sum_lanes
from towonel.relay.core.lane_state import LaneState
from towonel.relay.edge_lanes import EdgeLanes, LaneSession
from towonel.relay.flows.carrier import connect_pair
from towonel.relay.frame_reader import FRAMES_AT_ONCE
from towonel.relay.lane import Lane
from towonel.relay.loop import Loop
from towonel.relay.memory import BUFFER_BYTES, Memory
from towonel.relay.pipes import PipePool
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import FrameType

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PING = lanes.encode_head(FrameType.PING, 0, 8) + bytes(8)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Endless(socket.socket):
    """Socket of a peer that sends PINGs faster than they are read."""

    reads = 0
    _rest = b""

    @override
    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        self.reads += 1
        assert self.reads < 100, "it is read for ever"
        room = memoryview(buffer)
        data = self._rest + PING * (len(room) // len(PING) + 1)
        room[:], self._rest = data[: len(room)], data[len(room) :]
        return len(room)


class Bulk:
    """Bulk of which there is always more to carry."""

    def __init__(self) -> None:
        self.turns = 0
        self.handler = CallbackHandler(take_turn=self.take_turn)

    def take_turn(self) -> bool:
        self.turns += 1
        return True


def test_a_lane_that_never_runs_dry_is_read_in_turns(loop: Loop) -> None:
    one, other = connect_pair()
    endless, bulk = Endless(fileno=one.detach()), Bulk()
    endless.setblocking(False)
    lane = Lane(endless, loop, Memory(PipePool(0)), LaneState(is_edge=True))
    loop.add(lane.descriptor, lane)
    loop.queue(bulk.handler)
    for _ in range(10):
        loop.run_once()
        lane.on_ready(select.EPOLLIN)  # bytes come all the time

    assert bulk.turns >= 10
    assert lane.queued
    with endless, other:
        loop.forget(lane.descriptor)


class Clock:
    """Clock that goes on by so much with each look that there is one turn at a time."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def test_pools_of_many_sessions_are_looked_at_in_turns() -> None:
    clock, bulk, sessions = Clock(), Bulk(), 1000
    loop, row = Loop(clock), memoryview(array("I", bytes(4 * count_columns(sessions))))
    counts = LaneCounts([row], 0)
    lanes = EdgeLanes(
        loop,
        Memory(PipePool(0)),
        WantedNothing(),
        edge_id=b"",
        certificate_hash=b"",
        counts=counts,
    )
    for number in range(sessions):
        lanes.add_session(number.to_bytes(16), b"", 0.01, slot=number)
    loop.queue(bulk.handler)
    clock.now += 2.0
    loop.run_once()
    first = [sum_lanes([row], slot).wanted for slot in range(sessions)]
    while not all(sum_lanes([row], slot).wanted for slot in range(sessions)):
        loop.run_once()

    assert sum(map(bool, first)) < 100
    assert bulk.turns >= 10
    loop.close()


class WantedNothing:
    """Owner of lanes that tells no agent."""

    def on_wanted(self, session: LaneSession) -> None:
        pass

    def on_settled(self, source: object) -> None:
        pass


@dataclass
class Hop:
    """A lane and the connection of a client on it, with the sockets of both peers."""

    lane: Lane
    connection: Connection
    client: socket.socket
    far: socket.socket


@pytest.fixture
def hop(loop: Loop) -> Iterator[Hop]:
    (client, at_edge), (near, far) = tcp_pair(), tcp_pair()
    for sock in (at_edge, near):
        sock.setblocking(False)
    memory, state = Memory(PipePool()), LaneState(is_edge=False)
    state.receive(FrameType.OPEN, 1)
    lane = Lane(near, loop, memory, state)
    loop.add(near.fileno(), lane)
    connection = Connection(at_edge, loop, lane, ConnectionLog())
    connection.linger_s = LINGER_S
    loop.add(at_edge.fileno(), connection)
    state.accept()
    lane.take_data()
    with client, far:
        yield Hop(lane, connection, client, far)
        connection.finish(Code.NORMAL)
        lane.close()
    memory.pipes.close()


def test_a_connection_that_waits_for_its_turn_is_not_read_before(hop: Hop) -> None:
    hop.client.sendall(bytes(4 * BUFFER_BYTES))
    hop.lane.attach(hop.connection)
    hop.connection.on_ready(select.EPOLLIN)

    assert hop.connection.queued
    assert hop.connection.received == BUFFER_BYTES


def test_tiny_frames_are_taken_in_turns_and_in_order(loop: Loop, hop: Hop) -> None:
    hop.lane.attach(hop.connection)
    sent = bytes(number % 251 for number in range(200_000))
    head = lanes.encode_head(FrameType.DATA, 1, 1)
    tiny = 5 * FRAMES_AT_ONCE
    hop.far.sendall(b"".join(head + sent[at : at + 1] for at in range(tiny)))
    hop.far.sendall(lanes.encode_head(FrameType.DATA, 1, len(sent) - tiny) + sent[tiny:])
    hop.lane.on_ready(select.EPOLLIN)
    at_once = hop.connection.sent
    while hop.connection.sent < len(sent):
        loop.run_once()

    assert at_once == FRAMES_AT_ONCE
    assert receive(hop.client, len(sent)) == sent
