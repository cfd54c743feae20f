"""Sealed packets and the records of flows in them."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.wire.errors import Code, ProtocolError
from towonel.wire.udp import datagrams
from towonel.wire.udp.datagrams import (
    HEAD_BYTES,
    MAX_INDEX,
    MAX_PACKET_BYTES,
    MAX_PIECES,
    OVERHEAD_BYTES,
    PACKET_TYPE,
    Fragment,
    FrameDecoder,
    Record,
    RecordKind,
)

FLOWS = st.integers(0, 0xFFFFFFFF)
PACKETS = st.lists(st.binary(max_size=60), max_size=6)


def test_a_head_is_type_index_and_counter() -> None:
    head = datagrams.encode_head(0xABCDEF, 0x1122334455667788)

    assert head == bytes.fromhex("01 abcdef 1122334455667788")
    assert len(head) == HEAD_BYTES
    assert PACKET_TYPE < 0x40, "QUIC's packets begin with more"


@pytest.mark.branches
@given(st.integers(0, MAX_INDEX), st.integers(0, 2**64 - 1))
def test_a_head_comes_out_as_it_went_in(index: int, counter: int) -> None:
    packet = datagrams.encode_head(index, counter) + bytes(OVERHEAD_BYTES - HEAD_BYTES)

    assert datagrams.decode_head(packet) == (index, counter)
    assert datagrams.read_index(packet) == index
    assert datagrams.decode_head(packet[:-1]) is None
    assert datagrams.decode_head(b"\x40" + packet[1:]) is None


@pytest.mark.branches
@given(FLOWS, st.integers(0, 255), st.binary(max_size=100))
def test_a_record_comes_out_as_it_went_in(flow: int, kind: int, body: bytes) -> None:
    data = datagrams.encode_record(flow, kind, body)

    assert datagrams.decode_record(data) == Record(flow, kind, body)


def test_the_numbers_of_kinds_are_frozen() -> None:
    kinds = ["DATA", "OPENING", "FRAGMENT", "OPENED", "UNKNOWN", "ENDED", "PING", "PONG"]

    assert [kind.name for kind in sorted(RecordKind)] == kinds
    assert sorted(RecordKind) == list(range(8))
    assert datagrams.encode_record(7, RecordKind.DATA, b"x") == b"\0\0\0\x07\0x"


@pytest.mark.branches
@given(st.integers(0, 0xFFFF), st.integers(0, MAX_PIECES - 1), st.binary(min_size=1, max_size=50))
def test_a_fragment_comes_out_as_it_went_in(number: int, piece: int, data: bytes) -> None:
    fragment = Fragment(number, piece, MAX_PIECES, data)

    assert datagrams.decode_fragment(datagrams.encode_fragment(fragment)) == fragment


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\0\0\0\x02", id="no bytes"),
        pytest.param(b"\0\0\x02\x02x", id="a piece behind the last"),
        pytest.param(b"\0\0\0\x01x", id="one piece"),
        pytest.param(bytes((0, 0, 0, MAX_PIECES + 1)) + b"x", id="too many pieces"),
    ],
)
def test_fragments_that_nobody_sends_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        datagrams.decode_fragment(body)
    assert caught.value.code is Code.MALFORMED


def test_what_an_agent_says_of_a_flow_comes_out_as_it_went_in() -> None:
    assert datagrams.decode_opened(datagrams.encode_opened(86_400)) == 86_400
    assert datagrams.decode_ended(datagrams.encode_ended(Code.NO_SERVICE)) is Code.NO_SERVICE


def test_a_code_of_a_later_version_is_an_internal_error() -> None:
    assert datagrams.decode_ended(b"\xff\xff") is Code.INTERNAL


@pytest.mark.parametrize(
    "decode", [datagrams.decode_record, datagrams.decode_opened, datagrams.decode_ended]
)
def test_bodies_that_are_too_short_are_refused(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(ProtocolError) as caught:
        decode(b"\0")
    assert caught.value.code is Code.MALFORMED


@pytest.mark.branches
@given(st.binary(max_size=200))
def test_garbage_is_refused_as_malformed_and_no_other_way(data: bytes) -> None:
    for decode in (
        datagrams.decode_record,
        datagrams.decode_fragment,
        datagrams.decode_opened,
        datagrams.decode_ended,
    ):
        try:
            decode(data)
        except ProtocolError as error:
            assert error.code is Code.MALFORMED
    datagrams.decode_head(data)


@pytest.mark.branches
@given(PACKETS, st.lists(st.integers(0, 400), max_size=12))
def test_frames_that_are_cut_anywhere_come_out_whole_and_in_order(
    packets: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(datagrams.encode_frame, packets))
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    decoder = FrameDecoder()
    found: list[bytes] = []
    for begin, end in pairwise([0, *ends]):
        found += decoder.feed(stream[begin:end])

    assert found == packets


def test_a_frame_is_its_length_and_its_packet() -> None:
    assert datagrams.encode_frame(b"packet") == b"\0\0\0\x06packet"
    assert FrameDecoder().feed(b"\0\0\0\0\0\0\0\x01x") == [b"", b"x"]


def test_the_largest_packet_passes_and_a_larger_one_is_refused_by_its_length_alone() -> None:
    largest = bytes(MAX_PACKET_BYTES)

    assert FrameDecoder().feed(datagrams.encode_frame(largest)) == [largest]
    with pytest.raises(ProtocolError) as caught:
        FrameDecoder().feed((MAX_PACKET_BYTES + 1).to_bytes(4))
    assert caught.value.code is Code.TOO_LARGE


def test_a_decoder_holds_no_more_than_the_frame_that_has_begun() -> None:
    decoder, frame = FrameDecoder(), datagrams.encode_frame(bytes(1000))
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(1000):
        decoder.feed(frame[:700])
        assert decoder.feed(frame[700:] + frame[:10]) == [bytes(1000)]
        assert decoder.feed(frame[10:]) == [bytes(1000)]
    held = tracemalloc.take_snapshot().compare_to(before, "filename")
    tracemalloc.stop()

    assert sum(each.size_diff for each in held if "datagrams.py" in str(each.traceback)) < 8192
