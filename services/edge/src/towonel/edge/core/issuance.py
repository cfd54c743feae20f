"""Issuance of certificates: when one is renewed, and how long a name waits whose order has failed."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

_LEFT: Final = 3  # it is renewed when this part of its life is left
_JITTER: Final = 30  # or earlier by up to this part of its life, so that many do not come at once
_FIRST_S: Final = (
    5 * 60
)  # after the first failure: four orders in the first hour, where five are allowed
_MOST_S: Final = 24 * 3600
_RATE_LIMITED_S: Final = 3600


def find_renewal(name: str, not_before: datetime, not_after: datetime) -> datetime:
    """Return when a certificate is to be renewed: always the same time for the same one."""
    life = not_after - not_before
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    return not_after - life / _LEFT - life / _JITTER * draw


def find_retry(failures: int, *, is_rate_limited: bool) -> timedelta:
    """Return how long to wait after so many failures of a name in a row."""
    seconds = min(_FIRST_S * 2 ** min(failures - 1, 30), _MOST_S)
    return timedelta(seconds=max(seconds, _RATE_LIMITED_S) if is_rate_limited else seconds)
