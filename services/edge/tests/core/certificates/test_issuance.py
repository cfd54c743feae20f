"""Issuance: certificates are renewed when a third of their life is left or the authority wants it, and failures wait ever longer."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.certificates.issuance import (
    Life,
    Window,
    find_renewal,
    find_retry,
    make_window,
    trust_time,
)

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
END = BEGIN + 90 * DAY


@given(st.text(), st.integers(6, 90))
def test_a_certificate_is_renewed_when_about_a_third_of_its_life_is_left(
    name: str, days: int
) -> None:
    life = timedelta(days=days)
    left = BEGIN + life - find_renewal(name, Life(BEGIN, BEGIN + life))

    assert life / 3 <= left <= life / 3 + life / 30


def test_many_names_are_not_renewed_at_once() -> None:
    times = {find_renewal(f"n{number}.example.eu", Life(BEGIN, END)) for number in range(50)}

    assert max(times) - min(times) > timedelta(days=2)


@given(st.text())
def test_a_moment_of_the_window_that_the_authority_suggests_counts_instead(name: str) -> None:
    window = Window(BEGIN + 20 * DAY, BEGIN + 22 * DAY)

    assert window.start <= find_renewal(name, Life(BEGIN, END, window=window)) <= window.end


def test_the_moments_of_many_names_fill_the_window() -> None:
    life = Life(BEGIN, END, window=Window(BEGIN, BEGIN + DAY))
    times = {find_renewal(f"n{number}.example.eu", life) for number in range(50)}

    assert max(times) - min(times) > DAY / 2


@pytest.mark.parametrize(
    "window",
    [Window(BEGIN + 20 * DAY, BEGIN + 20 * DAY), Window(END + DAY, END + 2 * DAY)],
    ids=["empty", "too late"],
)
def test_a_window_that_makes_no_sense_does_not_count(window: Window) -> None:
    assert find_renewal("a", Life(BEGIN, END, window=window)) == find_renewal("a", Life(BEGIN, END))


def test_a_certificate_that_ends_before_it_comes_is_not_ordered_over_and_over() -> None:
    ahead = BEGIN + 80 * DAY  # what the clock says while the authority issues

    assert find_renewal("a", Life(BEGIN, END, issued_at=ahead)) == ahead + 9 * DAY


def test_an_authority_that_always_wants_a_renewal_at_once_gets_one_a_day() -> None:
    window = Window(BEGIN - DAY, BEGIN)

    assert find_renewal("a", Life(BEGIN, END, BEGIN, window)) == BEGIN + DAY
    short = Life(BEGIN, BEGIN + DAY, BEGIN, window)
    assert find_renewal("a", short) == BEGIN + DAY / 10


def test_a_certificate_of_today_is_renewed_as_one_whose_time_is_not_known() -> None:
    assert find_renewal("a", Life(BEGIN, END, BEGIN)) == find_renewal("a", Life(BEGIN, END))


def test_fewer_than_five_orders_fail_in_an_hour() -> None:
    waits = [find_retry(failures, is_rate_limited=False) for failures in range(1, 60)]
    total, attempts = timedelta(), 1
    for wait in waits:
        total += wait
        attempts += total < timedelta(hours=1)

    assert attempts == 4
    assert waits[0] == timedelta(minutes=5)
    assert waits[-1] == timedelta(days=1)


def test_an_authority_that_takes_no_more_is_left_alone_for_an_hour() -> None:
    assert find_retry(1, is_rate_limited=True) == timedelta(hours=1)
    assert find_retry(9, is_rate_limited=True) == find_retry(9, is_rate_limited=False)


def test_a_time_that_a_wrong_clock_has_stored_is_none() -> None:
    assert trust_time(0, BEGIN) is None
    assert trust_time(BEGIN.timestamp(), BEGIN) == BEGIN
    assert trust_time((BEGIN + DAY).timestamp(), BEGIN) == BEGIN + DAY
    assert trust_time((BEGIN + 2 * DAY).timestamp(), BEGIN) is None
    assert trust_time(1e300, BEGIN) is None


def test_a_window_without_an_end_or_a_time_zone_is_none() -> None:
    naive = BEGIN.replace(tzinfo=None)

    assert make_window(BEGIN, END) == Window(BEGIN, END)
    for start, end in ((None, END), (BEGIN, None), (naive, END), (BEGIN, naive)):
        assert make_window(start, end) is None
