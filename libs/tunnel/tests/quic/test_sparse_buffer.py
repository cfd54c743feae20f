"""Sparse buffer: what was written comes back, and memory is what was written."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.tunnel.quic.sparse_buffer import BLOCK_BYTES, SparseBuffer


def test_bytes_far_apart_take_a_block_each() -> None:
    buffer = SparseBuffer()
    for offset in range(0, 100 * 2**20, 2**20):
        buffer.write(offset, b"x")

    assert len(buffer.blocks) == 100


@given(st.integers(0, 3 * BLOCK_BYTES), st.binary(min_size=1, max_size=3 * BLOCK_BYTES))
def test_what_was_written_comes_back_and_whole_blocks_are_dropped(offset: int, data: bytes) -> None:
    buffer = SparseBuffer()
    buffer.write(offset, data)
    stop = offset + len(data)
    buffer.write(stop, b"next")

    assert buffer.take(offset, stop) == data
    assert len(buffer.blocks) <= 2
    assert buffer.take(stop, stop + 4) == b"next"
    buffer.clear()
    assert not buffer.blocks
