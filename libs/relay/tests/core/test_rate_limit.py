"""Rate limit: so many a second, in all processes together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.relay.core.rate_limit import RateLimit


class Use:
    """Use of a limit that others tell of."""

    def __init__(self) -> None:
        self.elsewhere = self.own = 0

    def add(self, count: int) -> None:
        self.own += count

    def take_elsewhere(self) -> int:
        taken, self.elsewhere = self.elsewhere, 0
        return taken


def test_a_burst_is_there_at_once_and_then_so_many_a_second() -> None:
    limit = RateLimit(8.0, 16.0, now=100.0)

    assert limit.has(16, now=100.0)
    assert not limit.has(17, now=100.0)
    limit.spend(16)
    assert not limit.has(1, now=100.0625)
    assert limit.has(1, now=100.125)
    assert limit.has(16, now=103.0)
    assert not limit.has(17, now=199.0)


def test_what_is_overdrawn_is_waited_for() -> None:
    limit = RateLimit(10.0, 20.0, now=100.0)
    limit.spend(50)

    assert limit.wait_s(1, now=100.0) == pytest.approx(3.1)
    assert limit.wait_s(1, now=103.0) == pytest.approx(0.1)
    assert limit.wait_s(1, now=104.0) == 0.0


def test_a_clock_that_stands_still_brings_nothing() -> None:
    limit = RateLimit(10.0, 20.0, now=100.0)
    limit.spend(20)

    assert not limit.has(1, now=100.0)
    assert not limit.has(1, now=99.0)


def test_what_others_use_is_taken_from_the_same_bucket() -> None:
    use = Use()
    limit = RateLimit(8.0, 16.0, 100.0, use)
    use.elsewhere = 11
    limit.spend(4)

    assert use.own == 4
    assert limit.has(12, now=100.0)  # others are asked when time has passed
    assert not limit.has(3, now=100.125)
    assert limit.has(2, now=100.125)
    assert limit.has(16, now=102.0)


def test_another_rate_holds_from_then_on() -> None:
    limit = RateLimit(10.0, 20.0, now=100.0)

    limit.change(1.0, 5.0, now=100.0)

    assert not limit.has(6, now=100.0)
    limit.spend(5)
    assert limit.wait_s(1, now=100.0) == pytest.approx(1.0)
    limit.change(100.0, 50.0, now=100.0)
    assert limit.wait_s(1, now=100.0) == pytest.approx(0.01)


@given(st.lists(st.tuples(st.integers(1, 40), st.floats(0.0, 3.0)), max_size=50))
def test_never_more_passes_than_the_rate_and_one_burst_and_one_overdraft(
    tries: list[tuple[int, float]],
) -> None:
    limit, now, passed = RateLimit(10.0, 20.0, now=0.0), 0.0, 0
    for count, pause_s in tries:
        now += pause_s
        if limit.has(1, now):
            limit.spend(count)
            passed += count

        assert passed <= 20 + 40 + 10 * now
