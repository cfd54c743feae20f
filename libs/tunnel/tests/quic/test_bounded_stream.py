"""Receiving half of a stream: as aioquic's, without its zeros."""

from aioquic.quic.packet import QuicStreamFrame
from aioquic.quic.stream import FinalSizeError, QuicStreamReceiver
from hypothesis import given
from hypothesis import strategies as st

from towonel.tunnel.core.bounds.receive_windows import ADMITTED_SIZES, ReceiveWindows
from towonel.tunnel.quic.bounded_stream import BoundedReceiver
from towonel.tunnel.quic.sparse_buffer import BLOCK_BYTES

DATA = bytes(number * 7 % 251 for number in range(5 * BLOCK_BYTES))
EDGES = st.sampled_from([0, 1, 2, 3, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 1])
FRAMES = st.tuples(EDGES | st.integers(0, 3 * BLOCK_BYTES), EDGES, st.sampled_from([0, 0, 0, 1]))


def receiver() -> BoundedReceiver:
    return BoundedReceiver(1, ReceiveWindows(ADMITTED_SIZES), ADMITTED_SIZES.stream_bytes)


def receive(half: QuicStreamReceiver, start: int, count: int, *, fin: bool) -> object:
    """What a frame comes to: an event, nothing, or an error."""
    data = DATA[start : start + count]
    try:
        return half.handle_frame(QuicStreamFrame(data=data, fin=fin, offset=start))
    except FinalSizeError:
        return FinalSizeError


@given(st.lists(FRAMES, max_size=20))
def test_frames_in_any_order_come_to_what_aioquic_makes_of_them(
    frames: list[tuple[int, int, int]],
) -> None:
    ours, theirs = receiver(), QuicStreamReceiver(stream_id=1, readable=True)
    for start, count, fin in frames:
        mine, other = (receive(half, start, count, fin=bool(fin)) for half in (ours, theirs))
        assert mine == other
        assert ours.is_finished == theirs.is_finished
        assert ours.highest_offset == theirs.highest_offset
        assert ours.starting_offset() == theirs.starting_offset()
        if mine is FinalSizeError:
            return  # the connection is closed

    assert bool(ours._fragments.blocks) == bool(len(ours._ranges))
    assert ours._windows.delivered == ours.starting_offset()
    assert ours._windows._gaps == len(ours._ranges)


def test_an_end_that_comes_first_ends_the_stream_with_the_last_byte() -> None:
    half = receiver()
    assert receive(half, 10, 0, fin=True) is None
    event = half.handle_frame(QuicStreamFrame(data=DATA[:10], offset=0))

    assert event is not None
    assert (event.data, event.end_stream, half.is_finished) == (DATA[:10], True, True)


def test_bytes_far_away_take_a_block_each() -> None:
    half = receiver()
    for shift in range(11, 24):
        half.handle_frame(QuicStreamFrame(data=b"x", offset=(1 << shift) - 1))

    assert len(half._fragments.blocks) == 13
