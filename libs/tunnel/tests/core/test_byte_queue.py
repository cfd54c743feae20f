"""Queue of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.tunnel.core.byte_queue import ByteQueue


@pytest.mark.branches
@given(st.lists(st.one_of(st.binary(max_size=20), st.integers(1, 30)), max_size=40))
def test_a_queue_gives_back_what_was_put_in_in_any_pieces(steps: list[bytes | int]) -> None:
    queue, put, taken = ByteQueue(), b"", b""
    for step in steps:
        if isinstance(step, bytes):
            queue.push(step)
            put += step
        else:
            piece = queue.take(step)
            taken += piece
            assert len(piece) == min(step, len(put) - len(taken) + len(piece))
    left = queue.size

    assert put == taken + put[len(taken) :]
    assert put.startswith(taken)
    assert left == len(put) - len(taken) == queue.clear()
    assert queue.take(1) == b""
