"""Conversion of timestamps: Unix milliseconds in the database, RFC 3339 in UTC in the API; rules of ends."""

from datetime import UTC, datetime

from towonel.wire.errors import Code, Denied

AHEAD_MS = 300_000  # who counts from now may have a clock that is ahead by so much
_DAY_S = 86_400


def to_datetime(time_ms: int) -> datetime:
    """Return the UTC datetime of Unix milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def to_optional_datetime(time_ms: int | None) -> datetime | None:
    """Return the UTC datetime of Unix milliseconds, or None for None."""
    return None if time_ms is None else to_datetime(time_ms)


def to_optional_ms(at: datetime | None) -> int | None:
    """Return the Unix milliseconds of a datetime, or None for None."""
    return None if at is None else round(at.timestamp() * 1000)


def check_end(
    field: str,
    end_ms: int | None,
    now_ms: int,
    at_most_s: int,
    *,
    past: bool,
    former_ms: int | None = None,
) -> None:
    """Check when something is to end; None is never.

    Args:
        field: of the request, as the error names it.
        end_ms: when.
        now_ms: the time.
        at_most_s: how long from now that may be.
        past: whether it may be over already.
        former_ms: when it ends so far, which may be sent back whatever it is.

    Raises:
        Denied: INVALID_REQUEST, with the rule and what to do.
    """
    if end_ms is None or end_ms == former_ms:
        return
    if end_ms - now_ms > at_most_s * 1000 + AHEAD_MS:
        most = f"at most {at_most_s // _DAY_S} days from now, or null for never"
        raise Denied(Code.INVALID_REQUEST, f"{field}: is {to_datetime(end_ms):%Y-%m-%d}; {most}")
    if end_ms <= now_ms and not past:
        when = f"{to_datetime(end_ms):%Y-%m-%d %H:%M:%S} UTC"
        raise Denied(
            Code.INVALID_REQUEST,
            f"{field}: {when} is over; give a later time, or null for never; to end it now, revoke it",
        )
