"""QUIC connection that checks packets and frames: how long a client of no scruples can keep an edge busy."""

import itertools
from collections.abc import Iterable

import pytest
from aioquic.tls import Epoch
from support.quic_pair import HERE, Pair
from support.raw_quic import CONTROL, PING, crypto_frame, frame, packet, stream_frame

from towonel.tunnel.core.bounds.frame_budget import BURST
from towonel.tunnel.core.bounds.receive_windows import EDGE_SIZES
from towonel.tunnel.quic.checked_connection import MAX_PACKETS
from towonel.wire.errors import Code

FRAMES_BYTES = 1150  # of the frames of a packet


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


def test_of_a_datagram_the_first_packets_are_read() -> None:
    pair = Pair()
    datagrams = pair.edge.datagrams_to_send(now=0)
    for data, _ in datagrams:
        pair.client.receive_datagram(data, HERE, now=0)
    space = pair.edge._spaces[Epoch.HANDSHAKE]
    packets = [packet(pair.client, frame(PING), epoch=Epoch.HANDSHAKE) for _ in range(20)]
    pair.to_edge([b"".join(packets)])

    assert sum(len(run) for run in space.ack_queue) == MAX_PACKETS
