"""Authority that certificates are ordered from, and what it means where it gives none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from towonel.edge.core.certificates.issuance import Refusal, Window

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


class OrderRefused(Exception):
    """Outcome of a wish for an order that this edge does not make, with the reason in words."""

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Answer of an authority about the renewal of a certificate.

    Args:
        window: that it suggests; None where it suggests none.
        again_s: after which it is to be asked again.
    """

    window: Window | None
    again_s: float


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
