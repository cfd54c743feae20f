"""State of the certificate of a name, as people see it: what clients get now."""

from datetime import datetime, timedelta
from typing import Final

from towonel.api.certificates.reports import CertificateState

EXPIRING: Final = timedelta(days=14)
_PART: Final = 5  # or when this part of its life is left, if that is less: it is renewed at a third


def find_state(
    life: tuple[datetime, datetime] | None,
    now: datetime,
    *,
    is_ordering: bool = False,
    has_failed: bool = False,
) -> CertificateState:
    """Return the state of a certificate.

    Args:
        life: its beginning and end; None without one.
        now: the time.
        is_ordering: whether one is ordered now.
        has_failed: whether the last order failed, or the files cannot be used.
    """
    if life is None and is_ordering:
        return "ordering"
    if life is None:
        return "failed" if has_failed else "missing"
    not_before, not_after = life
    if now >= not_after:
        return "expired"
    return (
        "expiring"
        if not_after - now <= min(EXPIRING, (not_after - not_before) / _PART)
        else "valid"
    )
