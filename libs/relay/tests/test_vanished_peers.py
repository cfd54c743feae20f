"""Peers whose network vanishes: who owes an acknowledgement is gone, who only pauses is not.

What the detector decides is tested without waiting in `core/test_stall.py`; the kernel's own times take long.
"""

import os
import socket
import time
from collections.abc import Iterator
from functools import partial

import pytest
from support.lane_peers import receive
from support.network import FarMachine, far_machine
from support.relay import ClientUse, Relay, tcp_pair

from towonel.relay.core.stall import STALL_S
from towonel.relay.lane import Lane
from towonel.relay.sockets import tune
from towonel.wire.errors import Code

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
]


@pytest.fixture
def machine() -> Iterator[FarMachine]:
    with far_machine() as machine:
        yield machine


def connect(machine: FarMachine) -> tuple[socket.socket, socket.socket]:
    """Return the ends of a connection of a far client."""
    with socket.create_server((machine.near, 0)) as server:
        client = machine.connect(server.getsockname()[1])
        at_edge = server.accept()[0]
        tune(at_edge)
        return client, at_edge


def open_use(relay: Relay, at_edge: socket.socket) -> socket.socket:
    """Relay a client, and return its origin's socket."""
    origin, at_agent = tcp_pair()
    relay.agent.origins.append(at_agent)
    use = ClientUse(relay.edge, at_edge)
    session = relay.edge.session
    assert relay.calls.call(lambda: session.open(b"\x00hello", use, repeatable=False))
    assert receive(origin, 5) == b"hello"
    return origin


def wait_for_end(relay: Relay, seconds: float) -> bool:
    """Let the loop go on in real time, and return whether the connection has ended."""
    return relay.edge.gone.acquire(timeout=seconds)


def test_a_client_whose_network_vanishes_ends_once_it_owes_an_acknowledgement(
    relay: Relay, machine: FarMachine
) -> None:
    client, at_edge = connect(machine)
    with client, open_use(relay, at_edge) as origin:
        machine.vanish()
        origin.sendall(bytes(100))

        assert not wait_for_end(relay, STALL_S - 2)
        assert wait_for_end(relay, 15)
    assert relay.edge.ended[0].code is Code.CLIENT_TIMEOUT


def count_sent(lane: Lane) -> int:
    return 0 if lane.connection is None else lane.connection.sent


def send_and_close(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.close()


def test_a_client_that_vanishes_with_the_end_of_its_answer_pending_ends_without_a_lane(
    relay: Relay, machine: FarMachine
) -> None:
    client, at_edge = connect(machine)
    at_edge.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with client, open_use(relay, at_edge) as origin:
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        assert origin.recv(1) == b""
        machine.vanish()
        origin.sendall(bytes(30_000))  # which the kernel takes, and is full
        relay.wait(lambda: any(count_sent(lane) == 30_000 for lane in relay.edge.session.busy))
        relay.calls.call(partial(send_and_close, origin, bytes(20_000)))  # in one piece
        relay.wait(lambda: not relay.edge.session.busy)

        assert not wait_for_end(relay, STALL_S - 2)
        assert wait_for_end(relay, 20)
    assert relay.edge.ended[0].code is Code.CLIENT_TIMEOUT


def test_a_client_that_pauses_reading_is_waited_for(relay: Relay, machine: FarMachine) -> None:
    client, at_edge = connect(machine)
    origin = open_use(relay, at_edge)
    with client, origin:
        origin.settimeout(1)
        with pytest.raises(TimeoutError):
            origin.sendall(bytes(50_000_000))
        time.sleep(STALL_S * 3)

        assert relay.edge.ended == []
        assert relay.edge.lanes.lost == {}
