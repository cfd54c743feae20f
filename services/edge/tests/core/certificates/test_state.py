"""State of a certificate: what clients get, and when somebody should look."""

from datetime import UTC, datetime, timedelta

import pytest

from towonel.edge.core.certificates.state import find_state

DAY = timedelta(days=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("life_days", "left_days", "state"),
    [
        (90, 30, "valid"),  # the time of renewal
        (90, 14.1, "valid"),
        (90, 14, "expiring"),
        (90, 0.1, "expiring"),
        (90, 0, "expired"),
        (90, -1, "expired"),
        (6, 2, "valid"),  # renewed now: a third is left
        (6, 1.3, "valid"),
        (6, 1.2, "expiring"),
    ],
)
def test_a_certificate_expires_once_its_renewal_is_long_over(
    life_days: float, left_days: float, state: str
) -> None:
    life = BEGIN, BEGIN + life_days * DAY

    assert find_state(life, BEGIN + (life_days - left_days) * DAY) == state


def test_a_certificate_that_serves_is_valid_whatever_happens_meanwhile() -> None:
    life = BEGIN, BEGIN + 90 * DAY

    assert find_state(life, BEGIN, is_ordering=True) == "valid"
    assert find_state(life, BEGIN, has_failed=True) == "valid"


def test_a_name_without_a_certificate_is_what_its_order_is() -> None:
    assert find_state(None, BEGIN) == "missing"
    assert find_state(None, BEGIN, has_failed=True) == "failed"
    assert find_state(None, BEGIN, is_ordering=True, has_failed=True) == "ordering"
