"""Authority that certificates are ordered from, and what it means where it gives none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"
STAGING: Final = "https://acme-staging-v02.api.letsencrypt.org/directory"


class OrderError(Exception):
    """Error of an order that has led to no certificate, with the reason.

    Attributes:
        is_rate_limited: whether the authority takes no more orders for now.
    """

    def __init__(self, reason: str, *, is_rate_limited: bool = False) -> None:
        super().__init__(reason)
        self.is_rate_limited = is_rate_limited


@dataclass(frozen=True, slots=True)
class Authority:
    """Authority, and the account that is to be had there.

    Args:
        directory: its address for ACME.
        email: that gets its mail.
        root: certificates that its own is checked by; None for those of the system.
        binding: key id and HMAC key of an account elsewhere that this one belongs to.
        eager: whether certificates are ordered before a client comes.
    """

    directory: str
    email: str | None
    root: Path | None = None
    binding: tuple[str, str] | None = field(default=None, repr=False)
    eager: bool = True
