"""Window of the counters that have come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.replay_window import WINDOW, ReplayWindow


def test_a_counter_is_taken_once() -> None:
    window = ReplayWindow()

    assert window.is_new(5)
    assert window.note(5), "it is the highest"
    assert not window.is_new(5)
    assert window.is_new(4)
    assert not window.note(4), "a late one is not"
    assert not window.is_new(4)
    assert window.highest == 5


def test_one_that_is_too_old_to_tell_is_not_taken() -> None:
    window = ReplayWindow()
    window.note(WINDOW + 10)

    assert window.is_new(11)
    assert not window.is_new(10)


def test_a_jump_forgets_what_came_before_it() -> None:
    window = ReplayWindow()
    window.note(1)
    window.note(1 + 2 * WINDOW)

    assert window.is_new(2 * WINDOW)
    assert not window.is_new(1 + WINDOW)


@pytest.mark.branches
@given(st.lists(st.integers(0, 3 * WINDOW), max_size=60))
def test_it_agrees_with_a_list_of_all_that_came(counters: list[int]) -> None:
    window, came = ReplayWindow(), set[int]()
    for counter in counters:
        is_new = counter not in came and counter > max(came, default=-1) - WINDOW
        assert window.is_new(counter) is is_new
        if is_new:
            assert window.note(counter) is (counter > max(came, default=-1))
            came.add(counter)
