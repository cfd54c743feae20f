"""Flags for an end, and their parser: `--expires 7d`, or `--expires-at 2027-01-31T12:00:00Z`."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from towonel.cli.errors import UsageError
from towonel.cli.options.durations import parse_duration

Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="TIME", help="How long from now: 48h, 7d, never."),
]
ExpiresAt = Annotated[
    str | None,
    typer.Option(
        "--expires-at", metavar="DATE", help="Or until when: 2027-01-31, 2027-01-31T12:00:00Z."
    ),
]


def parse_lifetime(flag: str, text: str, at_most_s: int, at_least_s: int = 0) -> int | None:
    """Return a lifetime in seconds; None for `never`.

    Raises:
        UsageError: naming the flag and the rule.
    """
    try:
        lifetime_s = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from error
    if lifetime_s is not None and not at_least_s <= lifetime_s <= at_most_s:
        least = f"at least {at_least_s}s and " if at_least_s else ""
        raise UsageError(f"{flag}: {least}at most {at_most_s // 86_400}d")
    return lifetime_s


def parse_expiry(
    expires: str | None,
    expires_at: str | None,
    now: datetime,
    at_most_s: int,
    flags: tuple[str, str] = ("--expires", "--expires-at"),
) -> datetime | None:
    """Return the end in at least one of the two flags; None for `never`.

    Raises:
        UsageError: naming the flag and the rule.
    """
    if expires is not None and expires_at is not None:
        raise UsageError(f"{flags[1]}: give {flags[0]} or {flags[1]}, not both")
    if expires_at is None:
        lasts_s = parse_lifetime(flags[0], expires or "", at_most_s)
        return None if lasts_s is None else now + timedelta(seconds=lasts_s)
    try:
        at = datetime.fromisoformat(expires_at.strip())
    except ValueError:
        raise UsageError(
            f"{flags[1]}: write a date, such as 2027-01-31 or 2027-01-31T12:00:00Z"
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
