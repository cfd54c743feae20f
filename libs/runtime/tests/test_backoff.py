"""Exponential backoff: longer each time, bounded, jittered, reset by success."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from towonel.runtime.backoff import Backoff


@given(st.integers())
def test_delays_double_to_the_maximum_and_keep_between_half_and_whole(seed: int) -> None:
    rng, backoff = Random(seed), Backoff(1, 10)
    wholes = (1, 2, 4, 8, 10, 10)
    delays = [backoff.next_delay(rng) for _ in wholes]

    assert all(whole / 2 <= d <= whole for d, whole in zip(delays, wholes, strict=True))


def test_two_callers_that_fail_together_do_not_retry_together() -> None:
    rng = Random(1)

    assert len({Backoff(1, 10).next_delay(rng) for _ in range(50)}) == 50


def test_only_a_try_that_held_long_enough_starts_over() -> None:
    rng, backoff = Random(1), Backoff(1, 100, reset_after_s=60)
    for _ in range(5):
        backoff.next_delay(rng)
    backoff.record_success(59)
    still_long = backoff.next_delay(rng)
    backoff.record_success(60)

    assert still_long >= 16
    assert backoff.next_delay(rng) <= 1
