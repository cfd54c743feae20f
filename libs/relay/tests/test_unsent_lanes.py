"""Lanes that an agent does not read: what comes for them is taken, and they are not kept for ever."""

import socket
import threading
from collections.abc import Iterator

import pytest
from support.lane_peers import LanePeer, dial_lane_on
from support.relay import ABORT, WAIT_S, ClientUse, Relay, tcp_pair

from towonel.relay.sessions.edge_lane import UNSENT_S
from towonel.relay.socket_end import STALL_CHECK_S
from towonel.wire import lanes
from towonel.wire.errors import Code
from towonel.wire.lanes import MAX_DATA_BYTES, FrameType

IDLE_S = 30.0


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay(lanes=0)
    relay.edge.idle_s = IDLE_S
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


@pytest.fixture
def peer(relay: Relay) -> Iterator[LanePeer]:
    peer = admit_one_that_reads_nothing(relay)
    with peer.sock:
        yield peer


@pytest.fixture
def client(relay: Relay, peer: LanePeer) -> Iterator[socket.socket]:
    """A client that has sent more than fits into the lane."""
    client, at_edge = tcp_pair()
    use = ClientUse(relay.edge, at_edge)
    relay.calls.call(lambda: relay.edge.session.open(b"\x00hello", use, repeatable=False))
    peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 0))
    with client:
        fill(client, relay)
        yield client


def test_bytes_for_a_client_that_is_gone_are_dropped_while_its_own_still_wait(
    relay: Relay, peer: LanePeer, client: socket.socket
) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    client.close()
    peer.sock.sendall(lanes.encode_head(FrameType.DATA, 1, MAX_DATA_BYTES) + bytes(MAX_DATA_BYTES))
    peer.sock.sendall(lanes.encode_head(FrameType.ACCEPT, 1, 0))  # once all of it is read

    relay.wait(lambda: relay.edge.lanes.lost == {Code.UNEXPECTED_MESSAGE: 1})


def let_the_use_end(relay: Relay, peer: LanePeer) -> None:
    """Let both sides end, while the edge's last bytes are still to be sent."""
    peer.sock.sendall(lanes.encode_head(FrameType.END, 1, 0))
    for _ in range(2):
        relay.pass_time(IDLE_S + 1)
    relay.wait(lambda: bool(relay.edge.session.unsent))


@pytest.mark.usefixtures("client")
def test_a_lane_whose_last_bytes_nobody_takes_is_lost(relay: Relay, peer: LanePeer) -> None:
    let_the_use_end(relay, peer)
    relay.pass_time(UNSENT_S - STALL_CHECK_S)
    assert relay.calls.call(lambda: relay.edge.session.unsent)
    relay.pass_time(2 * STALL_CHECK_S)

    relay.wait(lambda: not relay.edge.session.unsent)
    assert relay.edge.lanes.lost == {Code.SESSION_LOST: 1}


@pytest.mark.usefixtures("client")
def test_a_lane_whose_last_bytes_are_taken_slowly_is_used_again(
    relay: Relay, peer: LanePeer
) -> None:
    let_the_use_end(relay, peer)
    (lane,) = relay.edge.session.unsent
    for _ in range(3):
        relay.pass_time(UNSENT_S - STALL_CHECK_S)
        before = relay.calls.call(lane.count_unsent)
        while relay.calls.call(lane.count_unsent) == before:
            peer.sock.recv(4096)
    while relay.calls.call(lambda: relay.edge.session.unsent):
        peer.sock.recv(65_536)

    assert relay.calls.call(lambda: len(relay.edge.session.idle)) == 1
    relay.pass_time(UNSENT_S)
    assert relay.edge.lanes.lost == {}
