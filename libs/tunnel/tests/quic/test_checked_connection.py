"""QUIC connection that checks packets and frames: how long a client of no scruples can keep an edge busy."""

import itertools
from collections.abc import Iterable
from typing import Any, override

import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicPreferredAddress,
    pull_ack_frame,
    push_quic_preferred_address,
)
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.tls import Epoch
from hypothesis import given
from hypothesis import strategies as st
from support.quic_pair import HERE, Pair
from support.raw_quic import CONTROL, PING, crypto_frame, frame, packet, stream_frame

from towonel.tunnel.core.bounds.frame_budget import BURST
from towonel.tunnel.core.bounds.receive_windows import EDGE_SIZES
from towonel.tunnel.quic.bounded_connection import BoundedConnection
from towonel.tunnel.quic.checked_connection import MAX_PACKETS, shorten_ack
from towonel.wire.errors import Code

PREFERRED_ADDRESS = 0x0D  # a transport parameter; RFC 9000 §18.2
FRAMES_BYTES = 1150  # of the frames of a packet
ELSEWHERE = QuicPreferredAddress(("192.0.2.53", 53), None, bytes(8), bytes(16))


class MovingEdge(BoundedConnection):
    """Edge that would rather be spoken to elsewhere."""

    @override
    def _serialize_transport_parameters(self) -> bytes:
        number, address = Buffer(capacity=8), Buffer(capacity=100)
        push_quic_preferred_address(address, ELSEWHERE)
        number.push_uint_var(PREFERRED_ADDRESS)
        number.push_uint_var(len(address.data))
        return super()._serialize_transport_parameters() + number.data + address.data


def fill_packet(frames: Iterable[bytes]) -> list[bytes]:
    """As many frames as go into a packet."""
    sizes = itertools.accumulate(map(len, (frames := list(frames))))
    return [each for each, size in zip(frames, sizes, strict=True) if size <= FRAMES_BYTES]


@pytest.mark.parametrize(
    "useless",
    [
        frame(PING),
        bytes([0, PING]),  # padding with something in between
        crypto_frame(0, b""),
        bytes([0x0A, CONTROL, 0]),  # STREAM without offset and bytes
        stream_frame(CONTROL, 0, b"x"),
        frame(0x02, 1, 0, 0, 0),  # ACK
        frame(0x10, 0),  # MAX_DATA
        frame(0x11, CONTROL, 0),  # MAX_STREAM_DATA
        frame(0x15, CONTROL, 0),  # STREAM_DATA_BLOCKED
        frame(0x05, CONTROL, 0),  # STOP_SENDING
        frame(0x1A, 0) + bytes(7),  # PATH_CHALLENGE
    ],
)
def test_packets_full_of_frames_that_change_nothing_close(useless: bytes) -> None:
    pair = Pair().open()
    frames = fill_packet([useless] * FRAMES_BYTES)
    for _ in range(2 + BURST // len(frames)):
        pair.attack(*frames)

    assert pair.close_code == Code.RATE_LIMITED


def test_a_packet_that_is_refused_counts_with_its_frames() -> None:
    pair = Pair().open()
    for offset in range(2, 2 + 2 * EDGE_SIZES.gaps, 2):
        pair.attack(stream_frame(CONTROL, offset, b"x"))
    for _ in range(4):
        pair.attack(*[frame(PING)] * 300, stream_frame(CONTROL, 1000, b"x"))

    pair.attack(frame(PING))
    assert pair.close_code == Code.RATE_LIMITED


def test_packets_with_a_frame_for_each_of_many_streams_may_come_without_end() -> None:
    pair = Pair().open()
    streams = range(5, 805, 4)
    for stream_id in streams:
        pair.edge.send_stream_data(stream_id, b"x")
    for offset in range(40):
        pair.attack(*fill_packet(stream_frame(number, offset, b"x") for number in streams))

    assert pair.close_code is None


def test_packets_full_of_retired_connection_ids_close() -> None:
    pair = Pair().open()
    numbers = itertools.count(1)
    for _ in range(40):
        newest = pair.edge._packet_number - 1
        retired = [frame(0x19, number) for number in itertools.islice(numbers, 6)]
        pair.attack(frame(0x02, newest, 0, 0, newest), *retired)
        pair.edge.datagrams_to_send(now=pair.now)

    assert pair.close_code == Code.RATE_LIMITED


def test_connection_ids_that_change_now_and_then_may_do_so_without_end() -> None:
    pair = Pair().open()
    for _ in range(300):
        pair.client.change_connection_id()
        pair.exchange(2)

    assert pair.close_code is None


@pytest.mark.parametrize(("pings", "code"), [(1, Code.RATE_LIMITED), (2, None)])
def test_keys_that_change_with_each_packet_close_and_those_that_change_seldom_do_not(
    pings: int, code: Code | None
) -> None:
    pair = Pair().open()
    for _ in range(600):
        pair.client._cryptos[Epoch.ONE_RTT].update_key()
        for _ in range(pings):
            pair.attack(frame(PING))

    assert pair.close_code == code


def acknowledge_every_other(largest: int, ranges: int, kind: int = 0x02) -> bytes:
    """An ACK frame, or one with ECN; RFC 9000 §19.3."""
    return frame(kind, largest, 0, ranges, 0, *[0, 0] * ranges, *[0] * 3 * (kind & 1))


def send_packets(pair: Pair, count: int) -> int:
    """Let the edge send packets; returns the number of the newest."""
    for number in range(count):
        pair.edge.send_ping(number)
        pair.now += 0.01
        pair.edge.datagrams_to_send(now=pair.now)
    return pair.edge._packet_number - 1


def record_acks(pair: Pair) -> list[int]:
    """The numbers of ranges that the edge's recovery is asked to look at."""
    counts: list[int] = []
    look = pair.edge._loss.on_ack_received

    def record(*, ack_rangeset: RangeSet, **rest: Any) -> None:
        counts.append(len(ack_rangeset))
        look(ack_rangeset=ack_rangeset, **rest)

    pair.edge._loss.on_ack_received = record  # type: ignore[method-assign]
    return counts


@pytest.mark.parametrize("kind", [0x02, 0x03])
def test_of_acknowledgements_so_many_ranges_are_read_in_a_packet_and_what_follows_them(
    kind: int,
) -> None:
    pair = Pair().open()
    newest, counts = send_packets(pair, 300), record_acks(pair)
    ack = acknowledge_every_other(newest, 140, kind)
    pair.attack(ack, ack, frame(0x10, 2**40))
    pair.attack(acknowledge_every_other(newest, MAX_ACK_RANGES, kind))

    assert counts == [MAX_ACK_RANGES + 1, 1, MAX_ACK_RANGES + 1]
    assert pair.edge._remote_max_data == 2**40
    assert pair.close_code is None


@given(
    st.integers(0, 2**20),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=99),
    st.integers(0, 98),
    st.sampled_from([0x02, 0x03]),
)
def test_a_shortened_acknowledgement_has_the_newest_ranges(
    first: int, ranges: list[tuple[int, int]], kept: int, kind: int
) -> None:
    kept = min(kept, len(ranges) - 1)
    rest = [number for each in ranges for number in each]
    whole = [2**30, 7, len(ranges), first, *rest] + [1, 2, 3] * (kind & 1)
    buffer = Buffer(data=frame(kind, *whole)[1:] + b"next")
    short = shorten_ack(kind, buffer, kept)
    expected, _ = pull_ack_frame(Buffer(data=frame(kind, *whole)[1:]))
    found, delay = pull_ack_frame(short)

    assert list(found) == list(expected)[-len(found) :]
    assert (len(found), delay) == (kept + 1, 7)
    assert buffer.pull_bytes(4) == b"next"
    assert [short.pull_uint_var() for _ in range(3 * (kind & 1))] == [1, 2, 3] * (kind & 1)


def test_an_acknowledgement_that_is_cut_closes() -> None:
    pair = Pair().open()
    send_packets(pair, 300)
    pair.attack(frame(0x02, pair.edge._packet_number - 1, 0, 2**61, 0, *[0] * 200))

    assert pair.close_code == QuicErrorCode.FRAME_ENCODING_ERROR


def test_of_a_datagram_the_first_packets_are_read() -> None:
    pair = Pair()
    datagrams = pair.edge.datagrams_to_send(now=0)
    for data, _ in datagrams:
        pair.client.receive_datagram(data, HERE, now=0)
    space = pair.edge._spaces[Epoch.HANDSHAKE]
    packets = [packet(pair.client, frame(PING), epoch=Epoch.HANDSHAKE) for _ in range(20)]
    pair.to_edge([b"".join(packets)])

    assert sum(len(run) for run in space.ack_queue) == MAX_PACKETS


def test_an_edge_that_prefers_another_address_is_spoken_to_where_it_was_dialled() -> None:
    pair, addresses = Pair(MovingEdge), set[Any]()
    for _ in range(8):
        pair.now += 0.05
        for data, _ in pair.edge.datagrams_to_send(now=pair.now):
            pair.client.receive_datagram(data, HERE, now=pair.now)
        sent = pair.client.datagrams_to_send(now=pair.now)
        addresses |= {address for _, address in sent}
        pair.to_edge(data for data, _ in sent)

    assert pair.client._handshake_confirmed
    assert addresses == {HERE}
