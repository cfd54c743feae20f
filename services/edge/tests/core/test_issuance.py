"""Issuance: certificates are renewed when a third of their life is left, and failures wait ever longer."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.issuance import find_renewal, find_retry

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


@given(st.text(), st.integers(6, 90))
def test_a_certificate_is_renewed_when_about_a_third_of_its_life_is_left(
    name: str, days: int
) -> None:
    life = timedelta(days=days)
    left = BEGIN + life - find_renewal(name, BEGIN, BEGIN + life)

    assert life / 3 <= left <= life / 3 + life / 30


def test_many_names_are_not_renewed_at_once() -> None:
    end = BEGIN + timedelta(days=90)
    times = {find_renewal(f"n{number}.example.eu", BEGIN, end) for number in range(50)}

    assert max(times) - min(times) > timedelta(days=2)


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
