"""Conversion of timestamps."""

from datetime import UTC, datetime

from towonel.hub.core.timestamps import to_datetime, to_optional_datetime, to_optional_ms

AT = datetime(2026, 11, 24, 12, 0, 0, 123_000, UTC)
AT_MS = 1_795_521_600_123


def test_milliseconds_become_a_moment_in_utc_and_back() -> None:
    assert to_datetime(AT_MS) == to_optional_datetime(AT_MS) == AT
    assert to_datetime(AT_MS).utcoffset() == UTC.utcoffset(None)
    assert to_optional_ms(AT) == AT_MS


def test_no_time_is_none_both_ways() -> None:
    assert to_optional_datetime(None) is None
    assert to_optional_ms(None) is None
