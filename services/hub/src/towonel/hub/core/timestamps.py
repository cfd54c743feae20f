"""Conversion of timestamps: Unix milliseconds in the database, RFC 3339 in UTC in the API."""

from datetime import UTC, datetime


def to_datetime(time_ms: int) -> datetime:
    """Return the UTC datetime of Unix milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def to_optional_datetime(time_ms: int | None) -> datetime | None:
    """Return the UTC datetime of Unix milliseconds, or None for None."""
    return None if time_ms is None else to_datetime(time_ms)


def to_optional_ms(at: datetime | None) -> int | None:
    """Return the Unix milliseconds of a datetime, or None for None."""
    return None if at is None else round(at.timestamp() * 1000)
