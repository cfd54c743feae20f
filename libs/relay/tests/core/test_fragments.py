"""Fragments of records that are too large for a packet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.datagram_path import BASE_BYTES
from towonel.relay.core.fragments import (
    MAX_PENDING,
    MAX_PENDING_BYTES,
    PENDING_S,
    Fragmenter,
    Reassembler,
)
from towonel.wire.udp.datagrams import MAX_DATAGRAM_BYTES, MAX_PIECES, OVERHEAD_BYTES, Fragment

FLOW = 1


@pytest.mark.branches
@given(st.binary(min_size=1, max_size=500), st.integers(12, 100), st.randoms())
def test_pieces_in_any_order_make_the_record_again(record: bytes, room: int, rng: object) -> None:
    fragments = list(Fragmenter().cut(record, room))
    if len(fragments) == 1:
        return  # which fits, and is never cut
    rng.shuffle(fragments)  # type: ignore[attr-defined]  # of random.Random
    reassembler = Reassembler()

    found = [reassembler.add(FLOW, each, 0.0) for each in fragments]

    assert found == [None] * (len(fragments) - 1) + [record]
    assert reassembler.lost == 0


def test_the_largest_datagram_takes_no_more_pieces_than_are_taken() -> None:
    record = bytes(1 + 1024 + MAX_DATAGRAM_BYTES)

    assert len(list(Fragmenter().cut(record, BASE_BYTES - OVERHEAD_BYTES))) <= MAX_PIECES


def test_records_are_numbered_so_that_their_pieces_do_not_mix() -> None:
    fragmenter, reassembler = Fragmenter(), Reassembler()
    one, two = list(fragmenter.cut(b"one" * 9, 20)), list(fragmenter.cut(b"two" * 9, 20))
    assert (one[0].number, two[0].number) == (0, 1)

    reassembler.add(FLOW, one[0], 0.0)
    reassembler.add(FLOW, two[0], 0.0)

    assert reassembler.add(FLOW, one[1], 0.0) == b"one" * 9
    assert reassembler.add(FLOW, two[1], 0.0) == b"two" * 9


def test_a_piece_that_comes_twice_counts_once() -> None:
    first, second = Fragmenter().cut(b"record" * 5, 20)
    reassembler = Reassembler()
    reassembler.add(FLOW, first, 0.0)

    assert reassembler.add(FLOW, first, 0.0) is None
    assert reassembler.add(FLOW, second, 0.0) == b"record" * 5


def test_pieces_that_come_too_late_are_lost() -> None:
    first, second = Fragmenter().cut(b"record" * 5, 20)
    reassembler = Reassembler()
    reassembler.add(FLOW, first, 0.0)

    assert reassembler.add(FLOW, second, PENDING_S) is None
    assert reassembler.lost == 1
    assert reassembler.add(FLOW, first, PENDING_S) == b"record" * 5


def test_a_number_that_comes_again_with_other_pieces_is_another_record() -> None:
    reassembler = Reassembler()
    reassembler.add(FLOW, Fragment(0, 0, 3, b"old"), 0.0)

    assert reassembler.add(FLOW, Fragment(0, 0, 2, b"new"), 0.0) is None
    assert reassembler.add(FLOW, Fragment(0, 1, 2, b"er"), 0.0) == b"newer"
    assert reassembler.lost == 1


def test_the_oldest_goes_where_there_are_too_many() -> None:
    reassembler = Reassembler()
    for number in range(MAX_PENDING + 1):
        reassembler.add(FLOW, Fragment(number, 0, 2, b"x"), 0.0)

    assert reassembler.lost == 1
    assert reassembler.add(FLOW, Fragment(1, 1, 2, b"y"), 0.0) == b"xy"
    assert reassembler.add(FLOW, Fragment(0, 1, 2, b"y"), 0.0) is None


def test_the_oldest_goes_where_they_are_too_large() -> None:
    reassembler, size = Reassembler(), MAX_PENDING_BYTES // 4
    for number in range(5):
        reassembler.add(FLOW, Fragment(number, 0, 2, bytes(size)), 0.0)

    assert reassembler.lost == 1
    assert reassembler.add(FLOW, Fragment(0, 1, 2, b"y"), 0.0) is None
