"""Ends of a session's flows: what passes between them, and what does not."""

import os

import pytest
from support.flow_sessions import AGENT, EDGE, INDEX, SECRET, FlowPair

from towonel.identity.datagrams import DatagramEnd, DatagramKeys
from towonel.relay.core.datagram_path import BASE_BYTES, SIZES_V4
from towonel.relay.core.peer_address import AMPLIFICATION
from towonel.relay.flows.sockets import Endpoint
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import (
    MAX_DATAGRAM_BYTES,
    OVERHEAD_BYTES,
    Record,
    RecordKind,
)

DATA = RecordKind.DATA
OTHER_AGENT = Endpoint(("203.0.113.9", 1234))


@pytest.fixture
def pair() -> FlowPair:
    """Both ends, with a path between them."""
    pair = FlowPair()
    pair.connect()
    return pair


def seal(record: bytes, *, end: DatagramEnd = DatagramEnd.AGENT, counter: int = 1000) -> bytes:
    """Return a packet that an end with the secret could send."""
    keys = DatagramKeys(INDEX, SECRET, end)
    keys.counter = counter
    return keys.seal(record)


def test_records_pass_both_ways(pair: FlowPair) -> None:
    pair.edge.send(RecordKind.OPENING, b"question", flow=3)
    pair.agent.send(DATA, b"", flow=0xFFFFFFFF)
    pair.carry()

    assert pair.agent.received == [Record(3, RecordKind.OPENING, b"question")]
    assert pair.edge.received == [Record(0xFFFFFFFF, DATA, b"")]


@pytest.mark.parametrize(("extra", "packets"), [(0, 1), (1, 2)])
def test_a_record_is_cut_only_where_it_has_no_room_in_a_packet(
    pair: FlowPair, extra: int, packets: int
) -> None:
    body = os.urandom(SIZES_V4[0] - OVERHEAD_BYTES + extra)
    pair.edge.send(DATA, body)

    sizes = [len(packet) for packet, _ in pair.edge.sent]
    assert len(sizes) == packets
    assert sizes[0] == SIZES_V4[0]
    pair.carry()
    assert pair.agent.received == [Record(1, DATA, body)]


@pytest.mark.parametrize("largest", [BASE_BYTES, SIZES_V4[0]])
def test_the_largest_datagram_with_its_preamble_is_whole_again_in_any_order(largest: int) -> None:
    pair = FlowPair()
    pair.edge.largest = pair.agent.largest = largest
    pair.connect()
    body = os.urandom(1024 + MAX_DATAGRAM_BYTES)
    pair.edge.send(RecordKind.OPENING, body)
    pair.edge.sent.reverse()
    pair.carry()

    assert pair.agent.received == [Record(1, RecordKind.OPENING, body)]
    assert pair.agent.loss.by_reason == {}


def test_a_packet_that_comes_again_is_dropped_and_counted(pair: FlowPair) -> None:
    pair.edge.send(DATA, b"once")
    pair.edge.sent *= 3
    pair.carry()

    assert pair.agent.received == [Record(1, DATA, b"once")]
    assert pair.agent.loss.by_reason == {"replayed": 2}


def test_changed_and_foreign_packets_are_dropped_and_counted_by_reason(pair: FlowPair) -> None:
    record = datagrams.encode_record(1, DATA, b"x")
    good = seal(record)
    foreign = DatagramKeys(INDEX + 1, SECRET, DatagramEnd.AGENT).seal(record)
    own = seal(record, end=DatagramEnd.EDGE)
    pair.edge.receive([good[:-1] + bytes([good[-1] ^ 1]), foreign, own, b"\x40" + good[1:]], AGENT)

    assert pair.edge.loss.by_reason == {"invalid_signature": 2, "unknown_secret": 2}
    pair.edge.receive([good], AGENT)
    assert pair.edge.received == [Record(1, DATA, b"x")], "what was forged uses no counter up"


def test_records_that_no_peer_may_send_are_malformed(pair: FlowPair) -> None:
    short = seal(b"\0\0\0\x01\0")[:-1]
    piece = datagrams.encode_record(1, RecordKind.FRAGMENT, b"\0\0\0\x01x")
    pair.edge.receive([seal(piece), short], AGENT)

    assert pair.edge.received == []
    assert pair.edge.loss.by_reason == {"malformed": 1, "unknown_secret": 1}


# Secrets.


def test_the_agent_seals_with_the_newest_secret_at_once_and_the_edge_once_it_has_heard_it(
    pair: FlowPair,
) -> None:
    pair.add_secret(8, bytes(32))
    pair.edge.send(DATA, b"old")
    pair.agent.send(DATA, b"new")

    assert [datagrams.decode_head(packet) for packet, _ in pair.agent.sent] == [(8, 0)]
    [old] = pair.edge.take()
    assert (datagrams.decode_head(old) or (0,))[0] == INDEX
    pair.carry()
    pair.edge.send(DATA, b"new")
    pair.agent.receive([old], EDGE)
    assert datagrams.decode_head(pair.edge.sent[0][0]) == (8, 0)
    pair.carry()
    assert [record.body for record in pair.agent.received] == [b"old", b"new"]


def test_a_third_secret_makes_the_first_unknown(pair: FlowPair) -> None:
    packet = seal(datagrams.encode_record(1, DATA, b"late"))
    assert pair.edge.session.add_secret(8, bytes(32)) is None
    pair.edge.receive([packet], AGENT)
    assert pair.edge.session.add_secret(9, bytes(32)) == INDEX
    pair.edge.receive([seal(datagrams.encode_record(1, DATA, b"later"), counter=2000)], AGENT)

    assert [record.body for record in pair.edge.received] == [b"late"]
    assert pair.edge.session.indexes == (8, 9)
    assert pair.edge.loss.by_reason == {"unknown_secret": 1}


def test_a_packet_under_an_older_secret_moves_no_address(pair: FlowPair) -> None:
    pair.add_secret(8, bytes(32))
    pair.edge.receive([seal(datagrams.encode_record(1, DATA, b"x"))], OTHER_AGENT)

    assert pair.edge.session.peer.address == AGENT


# Addresses.


def test_an_edge_sends_nothing_before_it_has_heard_the_agent() -> None:
    pair = FlowPair()
    pair.edge.send(DATA, b"x")

    assert pair.edge.sent == []
    assert pair.edge.loss.by_reason == {"no_address": 1}


def test_a_new_address_is_challenged_and_gets_little_until_it_answers(pair: FlowPair) -> None:
    pair.agent.send(DATA, bytes(100))
    [packet] = pair.agent.take()
    pair.edge.receive([packet], OTHER_AGENT)
    [(ping, address)] = pair.edge.sent
    for _ in range(20):
        pair.edge.send(DATA, bytes(50))
    before = sum(len(each) for each, _ in pair.edge.sent)

    assert address == OTHER_AGENT
    assert AMPLIFICATION * len(packet) - 100 < before <= AMPLIFICATION * len(packet)
    pair.edge.sent.clear()
    pair.agent.receive([ping], EDGE)
    pair.agent_address = OTHER_AGENT
    pair.carry()
    pair.edge.send(DATA, bytes(1000))
    assert [where for _, where in pair.edge.sent] == [OTHER_AGENT]


def test_an_answer_to_an_earlier_challenge_does_not_validate_another_address(
    pair: FlowPair,
) -> None:
    pair.agent.send(DATA, b"x")
    pair.edge.receive(pair.agent.take(), OTHER_AGENT)
    pair.agent.receive(pair.edge.take(), EDGE)
    [pong] = pair.agent.take()
    pair.agent.send(DATA, b"x")
    pair.edge.receive(pair.agent.take(), Endpoint(("203.0.113.10", 1)))
    pair.edge.receive([pong], Endpoint(("203.0.113.10", 1)))

    assert not pair.edge.session.peer.is_valid


def test_a_late_packet_from_where_the_agent_was_moves_nothing(pair: FlowPair) -> None:
    pair.agent.send(DATA, b"late")
    late = pair.agent.take()
    pair.agent.send(DATA, b"x")
    pair.agent_address = OTHER_AGENT
    pair.carry()
    pair.edge.receive(late, AGENT)

    assert pair.edge.session.peer.address == OTHER_AGENT
    assert [record.body for record in pair.edge.received] == [b"x", b"late"]


# Sizes.


@pytest.mark.parametrize("size", SIZES_V4)
def test_pings_find_the_largest_packets_that_pass(size: int) -> None:
    pair = FlowPair()
    pair.edge.largest = pair.agent.largest = size
    pair.connect()

    assert pair.edge.session.path.size == size
    assert pair.agent.session.path.size == size


def test_packets_are_smaller_once_the_machine_sends_no_large_ones(pair: FlowPair) -> None:
    pair.edge.interface = BASE_BYTES
    pair.edge.send(DATA, bytes(1400))

    assert pair.edge.session.path.size == BASE_BYTES
    assert pair.edge.loss.by_reason == {"send_failed": 1}


def test_a_ping_that_the_machine_does_not_send_is_no_loss_and_changes_no_size() -> None:
    pair = FlowPair()
    pair.edge.interface = SIZES_V4[2]
    pair.connect()
    pair.tick()

    assert pair.edge.session.path.size == SIZES_V4[2]
    assert sum(pair.edge.loss.by_reason.values()) == 0
