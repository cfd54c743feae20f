"""Ends of a session's flows where UDP does not pass, and whatever may come."""

import errno
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flow_loops import FlowLoop
from support.flow_sessions import AGENT, EDGE, INDEX, SECRET, FlowPair

from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.relay.core.datagram_path import DOWN_S, PathState
from towonel.relay.core.fragments import MAX_PENDING, MAX_PENDING_BYTES
from towonel.relay.flows.carrier import Carrier, connect_pair
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import MAX_PIECES, Fragment, Record, RecordKind

DATA = RecordKind.DATA


class CarriedPair(FlowPair):
    """Edge and agent whose packets go by a carrier, since UDP does not pass."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = FlowLoop()
        one, other = connect_pair()
        report = self.loop.crashes.append
        edge, agent = self.edge, self.agent

        def take_at_edge(carrier: Carrier, packet: bytes) -> None:
            edge.take_carried(packet, carrier)

        def take_at_agent(carrier: Carrier, packet: bytes) -> None:
            agent.take_carried(packet, carrier)

        self.at_edge = Carrier(
            self.loop.loop, one, take_at_edge, edge.session.forget_carrier, report
        )
        self.at_agent = Carrier(
            self.loop.loop, other, take_at_agent, agent.session.forget_carrier, report
        )
        edge.session.carrier = self.at_edge

    def close(self) -> None:
        """Close the carrier."""
        self.at_edge.close()
        self.at_agent.close()
        self.loop.close()


@pytest.fixture
def carried() -> Iterator[CarriedPair]:
    pair = CarriedPair()
    yield pair
    pair.close()


def test_records_go_whole_by_a_carrier_while_the_path_is_down(carried: CarriedPair) -> None:
    carried.tick(DOWN_S)
    assert carried.edge.session.path.state is PathState.DOWN
    body = bytes(65_507)
    carried.edge.send(DATA, body)
    carried.loop.until(lambda: bool(carried.agent.received))
    carried.agent.send(DATA, b"answer")
    carried.loop.until(lambda: bool(carried.edge.received))

    assert carried.agent.received == [Record(1, DATA, body)]
    assert carried.edge.received == [Record(1, DATA, b"answer")]
    assert carried.edge.sent == []


def test_a_packet_that_comes_by_a_carrier_says_nothing_about_the_path(
    carried: CarriedPair,
) -> None:
    carried.tick(DOWN_S)
    address = carried.agent.session.peer.address
    carried.edge.send(DATA, b"x")
    carried.loop.until(lambda: bool(carried.agent.received))
    carried.agent.send(DATA, b"x")
    carried.loop.until(lambda: bool(carried.edge.received))

    assert carried.agent.session.path.state is PathState.DOWN
    assert carried.edge.session.path.state is PathState.DOWN
    assert carried.agent.session.peer.address == address
    assert carried.edge.session.peer.address is None
    assert carried.agent.session.carrier is carried.at_agent


def test_a_forged_packet_makes_nothing_a_carrier(carried: CarriedPair) -> None:
    forged = DatagramKeys(INDEX, bytes(32), DatagramEnd.EDGE).seal(bytes(9))
    carried.at_edge.send(forged)
    carried.loop.until(lambda: bool(carried.agent.loss.by_reason))

    assert carried.agent.loss.by_reason == {"invalid_signature": 1}
    assert carried.agent.session.carrier is None


def test_a_path_that_is_up_is_used_and_not_the_carrier(carried: CarriedPair) -> None:
    carried.connect()
    carried.edge.send(DATA, b"x")

    assert carried.edge.session.carrier is carried.at_edge
    assert len(carried.edge.sent) == 1
    carried.carry()
    assert carried.agent.received == [Record(1, DATA, b"x")]


def needs_carrier(carried: CarriedPair) -> bool:
    """Whether the edge needs one now, of which a checker remembers nothing."""
    return carried.edge.session.needs_carrier


def test_a_carrier_that_has_ended_is_used_no_more_and_another_is_needed(
    carried: CarriedPair,
) -> None:
    carried.tick(DOWN_S)
    assert not needs_carrier(carried)
    carried.at_agent.close()
    carried.loop.until(lambda: not carried.at_edge.is_open)
    carried.edge.send(DATA, b"x")

    assert needs_carrier(carried)
    assert carried.edge.loss.by_reason == {"no_address": 1}


def test_what_a_full_carrier_does_not_take_is_counted(carried: CarriedPair) -> None:
    carried.tick(DOWN_S)
    while not carried.edge.loss.by_reason:
        carried.edge.send(DATA, bytes(65_507))

    assert carried.edge.loss.by_reason == {"carrier_full": 1}


def test_an_end_of_which_another_end_has_been_forgotten_forgets_nothing(
    carried: CarriedPair,
) -> None:
    carried.edge.session.forget_carrier(carried.at_agent)

    assert carried.edge.session.carrier is carried.at_edge


# Failures of the machine.


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BlockingIOError(), "send_buffer_full"),
        (OSError(errno.ENETUNREACH, "no way"), "send_failed"),
    ],
)
def test_what_the_machine_does_not_send_is_counted_and_the_path_goes_down(
    error: OSError, reason: str
) -> None:
    pair = FlowPair()
    pair.connect()
    pair.edge.error = error
    pair.edge.send(DATA, b"x")

    assert pair.edge.loss.by_reason == {reason: 1}
    pair.tick(DOWN_S)
    assert pair.edge.session.path.state is PathState.DOWN


# Whatever may come.


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_packets_of_random_bytes_are_dropped_and_change_nothing(packets: list[bytes]) -> None:
    pair = FlowPair()
    pair.edge.receive(packets, AGENT)

    assert pair.edge.received == []
    assert pair.edge.sent == []
    assert sum(pair.edge.loss.by_reason.values()) == len(packets)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.binary(max_size=80)), max_size=30)
)
def test_no_record_of_a_peer_raises_or_gets_an_answer_larger_than_itself(
    records: list[tuple[int, int, bytes]],
) -> None:
    pair = FlowPair()
    keys = DatagramKeys(INDEX, SECRET, DatagramEnd.EDGE)
    for record in records:
        packet = keys.seal(datagrams.encode_record(*record))
        pair.agent.receive([packet], EDGE)

        assert all(len(answer) <= len(packet) for answer in pair.agent.take())
    kinds = {each.kind for each in pair.agent.received}
    assert not kinds & {RecordKind.PING, RecordKind.PONG, RecordKind.FRAGMENT}


def test_pieces_that_never_make_a_record_are_held_up_to_a_bound() -> None:
    pair = FlowPair()
    piece = bytes(60_000)
    for number in range(200):
        body = datagrams.encode_fragment(Fragment(number, 0, MAX_PIECES, piece))
        pair.edge.send(RecordKind.FRAGMENT, body)
        keys = DatagramKeys(INDEX, SECRET, DatagramEnd.EDGE)
        keys.counter = number
        packet = keys.seal(datagrams.encode_record(1, RecordKind.FRAGMENT, body))
        pair.agent.receive([packet], EDGE)

    held = 200 - pair.agent.loss.by_reason["incomplete"]
    assert held == MAX_PENDING_BYTES // len(piece)
    assert held < MAX_PENDING


def test_records_that_stay_without_pieces_are_counted_when_their_time_is_over() -> None:
    pair = FlowPair()
    pair.connect()
    pair.edge.send(DATA, bytes(5000))
    del pair.edge.sent[1]
    pair.carry()
    assert pair.agent.loss.by_reason == {}
    pair.tick(1.0)

    assert pair.agent.received == []
    assert pair.agent.loss.by_reason == {"incomplete": 1}


@given(st.integers(0, 2**16 - 1))
def test_a_size_that_a_peer_makes_up_costs_itself_alone(size: int) -> None:
    pair = FlowPair()
    pair.connect()
    pair.tick()
    [ping] = [packet for packet in pair.edge.take() if len(packet) < 100][:1]
    token = DatagramKeys(INDEX, SECRET, DatagramEnd.AGENT).open(ping)
    assert token is not None
    keys = DatagramKeys(INDEX, SECRET, DatagramEnd.AGENT)
    keys.counter = 1000
    made_up = token[5:11] + size.to_bytes(2)
    pong = datagrams.encode_record(0, RecordKind.PONG, made_up)
    before = pair.edge.session.path.size
    pair.edge.receive([keys.seal(pong)], AGENT)

    assert pair.edge.session.path.size == max(size, before)
