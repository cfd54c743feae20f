"""Conversion of timestamps."""

from datetime import UTC, datetime

import pytest

from towonel.hub.core.timestamps import (
    AHEAD_MS,
    check_end,
    to_datetime,
    to_optional_datetime,
    to_optional_ms,
)
from towonel.wire.errors import Code, Denied

AT = datetime(2026, 11, 24, 12, 0, 0, 123_000, UTC)
AT_MS = 1_795_521_600_123


def test_milliseconds_become_a_moment_in_utc_and_back() -> None:
    assert to_datetime(AT_MS) == to_optional_datetime(AT_MS) == AT
    assert to_datetime(AT_MS).utcoffset() == UTC.utcoffset(None)
    assert to_optional_ms(AT) == AT_MS


def test_no_time_is_none_both_ways() -> None:
    assert to_optional_datetime(None) is None
    assert to_optional_ms(None) is None


@pytest.mark.parametrize(
    ("after_ms", "past"), [(1, False), (0, True), (-1, True), (1_000_000 + AHEAD_MS, False)]
)
def test_an_end_that_is_to_come_or_never_is_taken(after_ms: int, *, past: bool) -> None:
    check_end("expires_at", AT_MS + after_ms, AT_MS, 1_000, past=past)
    check_end("expires_at", None, AT_MS, 1_000, past=past)


@pytest.mark.parametrize(
    ("after_ms", "past", "rule"),
    [
        (0, False, "expires_at: 2026-11-24 12:00:00 UTC is over; give a later time"),
        (86_400_001 + AHEAD_MS, False, "expires_at: is 2026-11-25; at most 1 days from now"),
        (86_400_001 + AHEAD_MS, True, "at most 1 days from now, or null for never"),
    ],
)
def test_an_end_that_is_over_or_too_far_ahead_is_refused(
    after_ms: int, rule: str, *, past: bool
) -> None:
    with pytest.raises(Denied, match=rule) as caught:
        check_end("expires_at", AT_MS + after_ms, AT_MS, 86_400, past=past)

    assert caught.value.code is Code.INVALID_REQUEST
