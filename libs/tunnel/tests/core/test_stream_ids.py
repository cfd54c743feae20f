"""Set of stream numbers that arrive in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.tunnel.core.stream_ids import MAX_GAP, SeenStreams


@pytest.mark.branches
@given(st.permutations(range(12)))
def test_each_number_arrives_for_the_first_time_once_in_any_order(order: list[int]) -> None:
    seen = SeenStreams()

    assert all(seen.add(number) for number in order)
    assert not any(seen.add(number) for number in order)
    assert seen.add(11 + MAX_GAP + 2) is None
