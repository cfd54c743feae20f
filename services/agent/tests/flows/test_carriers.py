"""Carriers of an agent: who may use its loopback port, and how edges' packets come and go there."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from support.flow_edges import AgentFlows, FlowEdge, opened, opening

from towonel.agent.flows.carriers import MAX_CARRIERS, CarrierListener
from towonel.agent.flows.edge_session import REOPEN_S
from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.relay.core.datagram_path import AGAIN_S, DOWN_S, PathState
from towonel.relay.flows.carrier import IDLE_S
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import FrameDecoder, Record, RecordKind, encode_frame


class Lanes:
    """Listener of an agent, and lanes that come to it."""

    def __init__(self, agent: AgentFlows) -> None:
        self.agent = agent
        self.listener = CarrierListener(agent.loop.loop, agent.flows, agent.loop.crashes.append)
        self.socks: list[socket.socket] = []

    def connect(self) -> socket.socket:
        """Return a lane's end."""
        sock = socket.create_connection(("127.0.0.1", self.listener.port), timeout=5.0)
        self.socks.append(sock)
        self.agent.loop.turn()
        return sock

    def send(self, sock: socket.socket, data: bytes) -> None:
        """Send by a lane, and let the agent act on it."""
        sock.sendall(data)
        self.agent.loop.turn()

    def is_closed(self, sock: socket.socket) -> bool:
        """Whether the agent has closed a lane."""
        self.agent.loop.turn()
        sock.setblocking(False)
        try:
            return sock.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


@pytest.fixture
def lanes(agent: AgentFlows) -> Iterator[Lanes]:
    made = Lanes(agent)
    yield made
    for sock in made.socks:
        sock.close()
    agent.loop.turn(times=2 * MAX_CARRIERS)
    made.listener._sock.close()  # pyright: ignore[reportPrivateUsage]  # it ends with its process


def seal(edge: FlowEdge, record: bytes, counter: int = 5000) -> bytes:
    """Return the frame of a packet of an edge."""
    keys = DatagramKeys(edge.index, edge.secret, DatagramEnd.EDGE)
    keys.counter = counter
    return encode_frame(keys.seal(record))


def lose_path(agent: AgentFlows) -> FlowEdge:
    """Return an edge from which nothing is heard any more."""
    edge = agent.add_edge()
    edge.sock.close()
    agent.loop.advance(25)
    for _ in range(2):
        agent.flows.tick()
        agent.loop.advance(DOWN_S)
    agent.flows.tick()
    assert agent.flows.describe_paths()[1][PathState.DOWN.value] == 1
    return edge


def test_a_flow_whose_packets_come_by_a_carrier_gets_its_answers_there(
    agent: AgentFlows, lanes: Lanes
) -> None:
    origin, edge, lane = agent.add_origin(), lose_path(agent), lanes.connect()
    record = datagrams.encode_record(1, RecordKind.OPENING, opening(b"question"))
    lanes.send(lane, seal(edge, record))
    data, source = origin.recvfrom(100)
    origin.sendto(b"answer", source)
    agent.loop.turn()

    keys = DatagramKeys(edge.index, edge.secret, DatagramEnd.EDGE)
    packets = FrameDecoder().feed(lane.recv(65_536))
    found = [datagrams.decode_record(keys.open(packet) or b"") for packet in packets]
    assert data == b"question"
    assert found == [opened(1), Record(1, RecordKind.DATA, b"answer")]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(encode_frame(b"GET / HTTP/1.1"), id="no packet"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no frame"),
        pytest.param(encode_frame(datagrams.encode_head(99, 0) + bytes(50)), id="no such secret"),
        pytest.param(encode_frame(datagrams.encode_head(1, 0) + bytes(50)), id="forged"),
        pytest.param(encode_frame(b""), id="empty"),
    ],
)
def test_a_stranger_that_sends_anything_else_is_closed(
    agent: AgentFlows, lanes: Lanes, garbage: bytes
) -> None:
    agent.add_edge()
    lane = lanes.connect()
    lanes.send(lane, garbage)

    assert lanes.is_closed(lane)


def test_an_authentic_packet_makes_a_lane_the_carrier_of_its_session_and_a_later_one_another(
    agent: AgentFlows, lanes: Lanes
) -> None:
    edge, record = lose_path(agent), datagrams.encode_record(3, RecordKind.DATA, b"x")
    one, other = lanes.connect(), lanes.connect()
    lanes.send(one, seal(edge, record, 5000))
    assert one.recv(4096)
    lanes.send(other, seal(edge, record, 5001))

    assert other.recv(4096)
    assert not lanes.is_closed(one)
    other.close()
    agent.loop.turn()
    lanes.send(one, seal(edge, record, 5002))
    one.setblocking(True)
    assert one.recv(4096)


def test_a_packet_that_was_recorded_gives_a_stranger_no_carrier(
    agent: AgentFlows, lanes: Lanes
) -> None:
    edge, record = lose_path(agent), datagrams.encode_record(3, RecordKind.DATA, b"x")
    one, thief = lanes.connect(), lanes.connect()
    lanes.send(one, seal(edge, record))
    lanes.send(thief, seal(edge, record))

    assert lanes.is_closed(thief)
    assert agent.flows.counters.loss.by_reason["replayed"] == 1


def test_two_sessions_whose_secrets_have_one_index_have_carriers_of_their_own(
    agent: AgentFlows, lanes: Lanes
) -> None:
    one, other = agent.add_edge(), agent.add_edge()
    agent.flows.add_secret(one.id, 77, b"1" * 32)
    agent.flows.add_secret(other.id, 77, b"2" * 32)
    lane = lanes.connect()
    keys = DatagramKeys(77, b"2" * 32, DatagramEnd.EDGE)
    lanes.send(lane, encode_frame(keys.seal(datagrams.encode_record(3, RecordKind.DATA))))

    assert not lanes.is_closed(lane)


def test_one_lane_more_than_there_may_be_closes_the_one_that_was_unused_for_longest(
    agent: AgentFlows, lanes: Lanes
) -> None:
    edge, record = agent.add_edge(), datagrams.encode_record(3, RecordKind.DATA)
    first = lanes.connect()
    second = lanes.connect()
    agent.loop.advance(1.0)
    for _ in range(MAX_CARRIERS - 2):
        lanes.connect()
    lanes.send(first, seal(edge, record))
    assert not lanes.is_closed(second)
    lanes.connect()

    assert lanes.is_closed(second)
    assert sum(lanes.is_closed(sock) for sock in lanes.socks) == 1


def test_lanes_that_carry_nothing_are_closed(agent: AgentFlows, lanes: Lanes) -> None:
    lane = lanes.connect()
    agent.loop.advance(IDLE_S - 1)
    lanes.listener.tick(agent.loop.now)
    assert not lanes.is_closed(lane)
    agent.loop.advance(1)
    lanes.listener.tick(agent.loop.now)

    assert lanes.is_closed(lane)


def test_a_lane_that_has_ended_is_used_no_more(agent: AgentFlows, lanes: Lanes) -> None:
    origin, edge, lane = agent.add_origin(), lose_path(agent), lanes.connect()
    record = datagrams.encode_record(1, RecordKind.OPENING, opening(b"x"))
    lanes.send(lane, seal(edge, record))
    _, source = origin.recvfrom(100)
    lane.close()
    agent.loop.turn()
    origin.sendto(b"answer", source)
    agent.loop.turn()

    assert "carrier_full" not in agent.flows.counters.loss.by_reason


def test_the_carrier_of_a_session_ends_with_it(agent: AgentFlows, lanes: Lanes) -> None:
    edge, lane = lose_path(agent), lanes.connect()
    lanes.send(lane, seal(edge, datagrams.encode_record(3, RecordKind.PING, bytes(8))))
    agent.flows.end_session(edge.id)

    assert lanes.is_closed(lane)


# The socket of a session.


def test_an_agent_whose_packets_do_not_pass_tries_another_port(agent: AgentFlows) -> None:
    edge = agent.add_edge()
    first = edge.link.peer.address
    for _ in range(8):
        agent.loop.advance(AGAIN_S)
        agent.flows.tick()
    sources: set[object] = set()
    with contextlib.suppress(BlockingIOError):
        while True:
            sources.add(edge.sock.recvfrom(4096)[1])

    assert first is not None
    assert len(sources) > 2
    assert REOPEN_S <= AGAIN_S


def test_an_address_to_which_there_is_no_way_is_tried_again_and_harms_nothing(
    agent: AgentFlows,
) -> None:
    agent.flows.add_session(b"nowhere", ("255.255.255.255", 9))
    agent.flows.add_secret(b"nowhere", 9, bytes(32))
    agent.flows.add_secret(b"unknown", 9, bytes(32))
    for _ in range(4):
        agent.loop.advance(AGAIN_S)
        agent.flows.tick()

    assert agent.flows.counters.loss.by_reason["send_failed"] >= 2
    assert agent.flows.describe_paths()[1][PathState.DOWN.value] == 1
    agent.flows.end_session(b"nowhere")
