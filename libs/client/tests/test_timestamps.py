"""Timestamps of signed requests: unique in a burst, and never away from the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.client.request import MAX_LEAD_MS, next_timestamp
from towonel.identity.signatures import MAX_SKEW_MS

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("last_ms", "expected_ms"),
    [
        (0, NOW_MS),
        (NOW_MS - 1, NOW_MS),
        (NOW_MS, NOW_MS + 1),
        (NOW_MS + MAX_LEAD_MS - 1, NOW_MS + MAX_LEAD_MS),
        (NOW_MS + MAX_LEAD_MS, NOW_MS),
        (NOW_MS + 3 * HOUR_MS, NOW_MS),
    ],
)
def test_a_time_goes_on_from_the_last_only_while_that_is_less_than_a_second_ahead(
    last_ms: int, expected_ms: int
) -> None:
    assert next_timestamp(NOW_MS, last_ms) == expected_ms


@given(st.lists(st.integers(0, 10**15), min_size=1))
def test_whatever_the_clock_does_a_time_is_within_a_second_of_it_and_not_the_last(
    clock: list[int],
) -> None:
    last_ms = 0
    for now_ms in clock:
        stamp_ms = next_timestamp(now_ms, last_ms)

        assert 0 <= stamp_ms - now_ms <= MAX_LEAD_MS < MAX_SKEW_MS
        assert stamp_ms != last_ms or stamp_ms == 0
        last_ms = stamp_ms
