"""Issuance of certificates: when one is renewed, how long a name waits whose order has failed, and why one is not ordered."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

_LEFT: Final = 3  # it is renewed when this part of its life is left
_JITTER: Final = 30  # or earlier by up to this part of its life, so that many do not come at once
_SPACING: Final = 10  # a name is renewed once in this part of a life, whatever the clock says
_DAY: Final = timedelta(days=1)  # or once a day, where the authority asks for it
_FIRST_S: Final = (
    5 * 60
)  # after the first failure: four orders in the first hour, where five are allowed
_MOST_S: Final = 24 * 3600
_RATE_LIMITED_S: Final = 3600


class Refusal(StrEnum):
    """Reason why no certificate is ordered for a name now."""

    NOT_PUBLISHED = "not_published"
    UNRESOLVED = "unresolved"
    ELSEWHERE = "elsewhere"
    FAILED_BEFORE = "failed_before"
    SOURCE = "source_budget"
    TENANT = "tenant_budget"
    DOMAIN = "domain_budget"
    ACCOUNT = "account_limited"
    QUEUE = "queue_full"
    REVOKED = "revoked"
    FOLDER = "folder_full"


@dataclass(frozen=True, slots=True)
class Window:
    """Window of time in which the authority wants a certificate renewed (RFC 9773)."""

    start: datetime
    end: datetime


def make_window(start: datetime | None, end: datetime | None) -> Window | None:
    """Return a window, unless an authority has left out a part of it, or its time zone."""
    if start is None or end is None or start.tzinfo is None or end.tzinfo is None:
        return None
    return Window(start, end)


@dataclass(frozen=True, slots=True)
class Life:
    """Life of a name's certificate.

    Args:
        not_before, not_after: as it says.
        issued_at: as this machine's clock said; None where that is not known.
        window: that the authority suggests for its renewal.
    """

    not_before: datetime
    not_after: datetime
    issued_at: datetime | None = None
    window: Window | None = None


def find_renewal(name: str, life: Life) -> datetime:
    """Return when a certificate is to be renewed: always the same time for the same one.

    That is a moment of the window, unless the certificate would have ended by then, or when a third of
    its life is left; and some time after the one before, so that a wrong clock or window has no end of orders.
    """
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    whole = life.not_after - life.not_before
    moment = life.not_after - whole / _LEFT - whole / _JITTER * draw
    spacing = whole / _SPACING
    if life.window is not None:
        suggested = life.window.start + (life.window.end - life.window.start) * draw
        if life.window.start < life.window.end and suggested < life.not_after:
            moment, spacing = suggested, min(spacing, _DAY)
    return moment if life.issued_at is None else max(moment, life.issued_at + spacing)


def find_retry(failures: int, *, is_rate_limited: bool) -> timedelta:
    """Return how long to wait after so many failures of a name in a row."""
    seconds = min(_FIRST_S * 2 ** min(failures - 1, 30), _MOST_S)
    return timedelta(seconds=max(seconds, _RATE_LIMITED_S) if is_rate_limited else seconds)


def trust_time(unix_s: float, now: datetime) -> datetime | None:
    """Return a time that was stored in Unix seconds, unless the clock was wrong then: none is more than a day ahead."""
    if not 0 < unix_s <= (now + _DAY).timestamp():
        return None
    return datetime.fromtimestamp(unix_s, UTC)
