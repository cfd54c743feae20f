"""Fair turns: who has much to say, or says it in tiny frames, does not keep the others waiting."""

import select
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, override

import pytest
from support.lane_peers import LanePeer, dial_lane_on
from support.relay import ABORT, WAIT_S, ClientUse, ConnectionLog, Relay, tcp_pair

from towonel.relay.connection import Connection
from towonel.relay.core.lane_state import LaneState
from towonel.relay.lane import Lane
from towonel.relay.loop import Handler, Loop
from towonel.relay.memory import BUFFER_BYTES, Memory
from towonel.relay.pipes import PipePool
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import MAX_DATA_BYTES, FrameType

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


class Bulk(Handler):
    """Handler that always has more to carry."""

    turns = 0

    @override
    def take_turn(self) -> bool:
        self.turns += 1
        return True


def test_a_lane_that_never_runs_dry_is_read_in_turns(loop: Loop) -> None:
    one, other = socket.socketpair()
    endless, bulk = Endless(fileno=one.detach()), Bulk()
    endless.setblocking(False)
    lane = Lane(endless, loop, Memory(PipePool(0)), LaneState(is_edge=True))
    loop.add(lane.descriptor, lane)
    loop.queue(bulk)
    for _ in range(10):
        loop.run_once()
        lane.on_ready(select.EPOLLIN)  # bytes come all the time

    assert bulk.turns >= 10
    assert lane.queued
    with endless, other:
        loop.forget(lane.descriptor)


def test_a_connection_that_waits_for_its_turn_is_not_read_before(loop: Loop) -> None:
    client, at_edge = tcp_pair()
    near, far = tcp_pair()
    for sock in (at_edge, near):
        sock.setblocking(False)
    memory, state = Memory(PipePool()), LaneState(is_edge=False)
    state.receive(FrameType.OPEN, 1)
    lane = Lane(near, loop, memory, state)
    loop.add(near.fileno(), lane)
    connection = Connection(at_edge, loop, lane, ConnectionLog(), reset=Code.CLIENT_CLOSED)
    loop.add(at_edge.fileno(), connection)
    state.accept()
    client.sendall(bytes(4 * BUFFER_BYTES))
    lane.attach(connection)
    connection.on_ready(select.EPOLLIN)

    assert connection.queued
    assert connection.received == BUFFER_BYTES
    with client, far:
        connection.finish(Code.NORMAL)
        lane.close()
    memory.pipes.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    yield relay
    relay.close()


def admit_one_that_reads_nothing(relay: Relay) -> LanePeer:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(WAIT_S)
    sock.connect(relay.edge.acceptor.address)
    peer = dial_lane_on(sock)
    relay.wait(lambda: len(relay.edge.session.idle) == 1)
    return peer


def fill(client: socket.socket, relay: Relay) -> None:
    """Send until nothing more fits between a client and a lane that is not read."""
    client.setblocking(False)
    quiet = 0
    while quiet < 20:
        try:
            client.send(bytes(65536))
            quiet = 0
        except BlockingIOError:
            quiet += relay.calls.call(lambda: not relay.edge.lane.clear)
            threading.Event().wait(0.005)


def test_bytes_for_a_client_that_is_gone_are_dropped_while_its_own_still_wait(relay: Relay) -> None:
    peer, (client, at_edge) = admit_one_that_reads_nothing(relay), tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    relay.calls.call(lambda: relay.edge.session.open(b"\x00hello", use, repeatable=False))
    peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 0))
    fill(client, relay)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    client.close()
    peer.sock.sendall(lanes.encode_head(FrameType.DATA, 1, MAX_DATA_BYTES) + bytes(MAX_DATA_BYTES))
    peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 0))  # once all of it is read

    relay.wait(lambda: relay.edge.lanes.lost == {Code.UNEXPECTED_MESSAGE: 1})
    peer.sock.close()
