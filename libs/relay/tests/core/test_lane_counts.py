"""Counts of lanes in all workers: what each of them sees, and how a surplus is shared."""

import os

from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.lane_counts import (
    NO_LANES,
    NO_SLOT,
    LaneCounts,
    LaneSums,
    count_columns,
    sum_lanes,
)
from towonel.relay.shared_rows import clear_row, create_rows, map_rows

SLOTS = 4


def workers(count: int) -> list[LaneCounts]:
    """Workers that share counts, each with a mapping of its own."""
    columns = count_columns(SLOTS)
    descriptor = create_rows(count, columns)
    found = [LaneCounts(map_rows(descriptor, count, columns), own) for own in range(count)]
    os.close(descriptor)
    return found


def test_each_worker_sees_the_lanes_of_the_others() -> None:
    first, second, third = workers(3)
    first.put(1, LaneSums(1, 2, 3))
    second.put(1, LaneSums(10, 20, 30))
    second.put(2, LaneSums(7, 7, 7))

    assert first.sum_elsewhere(1) == LaneSums(10, 20, 30)
    assert third.sum_elsewhere(1) == LaneSums(11, 22, 33)
    assert second.sum_elsewhere(2) == NO_LANES
    assert third.find_idle(1) == (10, 1)
    assert first.find_idle(3)[0] == 0


def test_use_of_a_lane_leaves_what_is_wanted() -> None:
    first, second = workers(2)
    first.put(0, LaneSums(3, 0, 5))
    first.put_used(0, 2, 1)

    assert second.sum_elsewhere(0) == LaneSums(2, 1, 5)


def test_lanes_without_a_client_are_idle_or_have_still_to_send() -> None:
    first, second, third = workers(3)
    first.put(0, LaneSums(3, 9, 5, unsent=2, inside_tls=12))
    second.put(0, LaneSums(1, 4, 5, unsent=4, inside_tls=1))

    assert third.count_spare_elsewhere(0) == 10
    assert third.sum_elsewhere(0).inside_tls == 13
    assert third.count_spare_elsewhere(NO_SLOT) == 0


def test_a_session_without_a_place_is_known_nowhere_else() -> None:
    first, second = workers(2)
    first.put(NO_SLOT, LaneSums(5, 5, 5))

    assert second.sum_elsewhere(NO_SLOT) == NO_LANES
    assert second.find_idle(NO_SLOT) == (0, 0)
    assert [second.sum_elsewhere(slot) for slot in range(SLOTS)] == [NO_LANES] * SLOTS


def test_a_worker_alone_has_its_own_surplus() -> None:
    (only,) = workers(1)

    assert only.is_alone
    assert only.find_idle(0) == (0, 0)
    assert only.share_surplus(0, 40, 32) == 8
    assert only.share_surplus(0, 30, 32) == 0


def test_what_one_worker_has_too_many_is_none_too_many_where_another_has_too_few() -> None:
    first, second = workers(2)
    first.put(0, LaneSums(1, 0, 4))

    assert second.share_surplus(0, 7, 4) == 0
    assert second.share_surplus(0, 9, 4) == 2


def test_lanes_that_are_not_admitted_yet_count_in_all_workers() -> None:
    first, second, third = workers(3)
    first.put_half_open(3)
    second.put_half_open(4)

    assert (first.half_open_elsewhere, third.half_open_elsewhere) == (4, 7)


def test_the_counts_of_a_worker_that_is_gone_are_none() -> None:
    columns = count_columns(SLOTS)
    descriptor = create_rows(2, columns)
    rows = map_rows(descriptor, 2, columns)
    LaneCounts(rows, 0).put(2, LaneSums(1, 2, 3))
    LaneCounts(rows, 1).put(2, LaneSums(4, 5, 6))
    clear_row(map_rows(descriptor, 2, columns)[0])

    assert sum_lanes(rows, 2) == LaneSums(4, 5, 6)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 128)), min_size=1, max_size=4))
def test_workers_that_close_their_shares_leave_what_all_want(have: list[tuple[int, int]]) -> None:
    sharing = workers(len(have))
    for counts, (lanes, wanted) in zip(sharing, have, strict=True):
        counts.put(0, LaneSums(lanes, 0, wanted))
    closed = sum(
        counts.share_surplus(0, lanes, wanted)
        for counts, (lanes, wanted) in zip(sharing, have, strict=True)
    )
    surplus = sum(lanes for lanes, _ in have) - sum(wanted for _, wanted in have)

    assert closed <= max(0, surplus)
    if surplus > len(have):
        assert closed > 0
