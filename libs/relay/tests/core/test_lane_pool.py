"""Pool of lanes: it grows with what clients need at once, and shrinks long after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.lane_pool import (
    MAX_IDLE,
    SHRINK_S,
    SURPLUS_S,
    LanePool,
    lane_wait_s,
    redial_after_s,
)


def update(
    pool: LanePool, now: float, *, in_use: int = 0, waiting: int = 0, rtt_s: float = 0.01
) -> int:
    pool.update(in_use=in_use, waiting=waiting, rtt_s=rtt_s, now=now)
    return pool.wanted


@pytest.mark.parametrize(("workers", "expected"), [(1, 2), (2, 1), (4, 1)])
def test_two_lanes_wait_at_least_and_one_for_each_worker(workers: int, expected: int) -> None:
    assert LanePool(workers, 0).wanted == expected


@pytest.mark.parametrize(
    ("in_use", "waiting", "expected"),
    [(1, 0, 3), (6, 0, 8), (8, 0, 16), (6, 3, 16), (100, 0, 128), (500, 0, 640), (8000, 0, 9216)],
)
def test_a_quarter_of_those_in_use_is_idle_as_well_in_steps(
    in_use: int, waiting: int, expected: int
) -> None:
    assert update(LanePool(1, 0), 1, in_use=in_use, waiting=waiting) == expected


def test_clients_that_come_while_a_lane_is_dialed_are_expected_again() -> None:
    pool = LanePool(1, 0)

    assert (
        update(pool, 1.0, in_use=100, rtt_s=0.2) == 160
    )  # 60 more come in 3 round trips of 200 ms
    assert update(pool, 2.0, in_use=200, rtt_s=0.2) == 288


def test_a_rate_over_a_moment_says_nothing() -> None:
    pool = LanePool(1, 0)

    assert update(pool, 0.001, in_use=8, rtt_s=1) == 16
    assert update(pool, 0.1, in_use=8, rtt_s=0.1) == 32  # in 100 ms


def test_clients_that_come_and_go_need_no_more_lanes_than_there_are_of_them_at_once() -> None:
    pool = LanePool(1, 0)

    assert {update(pool, now, in_use=16, rtt_s=1) for now in range(60, 90)} == {24}


def test_a_pool_says_when_it_has_changed() -> None:
    pool = LanePool(1, 0)

    assert not pool.update(in_use=0, waiting=0, rtt_s=0.01, now=1)
    assert pool.update(in_use=20, waiting=0, rtt_s=0.01, now=2)
    assert not pool.update(in_use=20, waiting=0, rtt_s=0.01, now=3)


def test_a_pool_shrinks_when_no_more_was_needed_for_its_time() -> None:
    pool = LanePool(1, 0)
    assert update(pool, 10, in_use=100) == 128

    assert {update(pool, now) for now in range(11, 10 + int(SHRINK_S))} == {128}
    assert update(pool, 10 + 2 * SHRINK_S) == 2


def test_lanes_that_are_idle_are_limited_and_those_in_use_are_not() -> None:
    pool = LanePool(1, 0)
    assert update(pool, 1, in_use=8000) == 9216

    assert update(pool, 2, in_use=0) == MAX_IDLE
    assert update(pool, 3, in_use=4000) == 4608


@pytest.mark.parametrize("few", [0, 100, 500])
def test_clients_that_come_and_go_after_a_crowd_change_nothing(few: int) -> None:
    pool = LanePool(1, 0)
    update(pool, 0.5, in_use=few)
    assert update(pool, 1, in_use=2000) == 2560

    after = [update(pool, 10 + step / 10, in_use=few + step % 16) for step in range(200)]

    assert set(after) == {few + MAX_IDLE}


def test_a_crowd_costs_a_few_messages() -> None:
    pool = LanePool(1, 0)

    changes = [pool.update(in_use=0, waiting=count, rtt_s=0.01, now=1) for count in range(1, 1025)]
    assert sum(changes) < 50


def test_a_pool_that_nobody_looked_at_for_long_shrinks_at_once() -> None:
    pool = LanePool(1, 0)
    update(pool, 10, in_use=100)

    assert update(pool, 10 + 3 * SHRINK_S) == 2


def test_what_is_wanted_is_settled_once_the_agent_knows_of_all_workers() -> None:
    pool = LanePool(2, 0)
    update(pool, 10, in_use=20)

    assert not pool.is_settled(0, 10 + SURPLUS_S - 0.1)
    assert pool.is_settled(0, 10 + SURPLUS_S)
    assert not pool.is_settled(8, 10 + SURPLUS_S)
    assert pool.is_settled(8, 10 + 2 * SURPLUS_S)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 300), st.floats(0, 100))))
def test_a_pool_is_within_its_bounds_and_has_room_for_what_is_needed_now(
    steps: list[tuple[int, int, float]],
) -> None:
    pool, now = LanePool(1, 0), 0.0
    for in_use, waiting, passed_s in steps:
        now += passed_s
        wanted = update(pool, now, in_use=in_use, waiting=waiting, rtt_s=0.2)

        needed = in_use + waiting
        assert needed + 2 <= wanted <= (needed + MAX_IDLE) * 9 / 8


@pytest.mark.parametrize(("rtt_s", "expected"), [(0, 0.1), (0.01, 0.1), (0.1, 0.35), (5, 1.0)])
def test_a_client_waits_as_long_as_a_lane_takes(rtt_s: float, expected: float) -> None:
    assert lane_wait_s(rtt_s) == pytest.approx(expected)


def test_lanes_are_dialed_soon_after_a_chance_failure_and_rarely_once_streams_took_over() -> None:
    waits = [redial_after_s(failures, 0) for failures in range(1, 9)]

    assert waits == [0.5, 1.0, 60, 120, 240, 480, 480, 480]
    assert redial_after_s(99, 1) == 600
