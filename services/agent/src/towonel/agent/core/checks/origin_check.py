"""Check of an origin: how it is asked whether it is there, and when its answers make it failing."""

from dataclasses import dataclass
from enum import StrEnum


class CheckKind(StrEnum):
    """Kind of a check: what has to succeed."""

    TCP = "tcp"  # a connection
    TLS = "tls"  # a handshake; certificates are the client's affair, unless the agent speaks TLS to the origin
    HTTP = "http"  # an answer of 200 to 399
    HTTPS = "https"  # the same inside TLS


@dataclass(frozen=True, slots=True)
class OriginCheck:
    """Check that an agent makes of a service's origin.

    Args:
        kind: of the check.
        path: that is asked for, of http and https.
        address: host and port that are asked in the origin's place.
        interval_s: between two checks.
        timeout_s: for one.
        rise: checks passed in a row after which a failing origin is healthy.
        fall: checks failed in a row after which a healthy one is failing.
    """

    kind: CheckKind
    path: str = "/"
    address: tuple[str, int] | None = None
    interval_s: int = 5
    timeout_s: int = 2
    rise: int = 2
    fall: int = 3


class CheckState:
    """State of an origin that is checked: failing until a check has passed, the first one alone decides.

    Args:
        check: whose `rise` and `fall` count.

    Attributes:
        is_failing: whether clients go elsewhere if they can.
    """

    def __init__(self, check: OriginCheck) -> None:
        self._check = check
        self._is_known = False
        self._in_a_row = 0  # that say otherwise
        self.is_failing = True

    def record(self, *, passed: bool) -> bool:
        """Count a check, and tell whether the state has changed with it."""
        check, is_first = self._check, not self._is_known
        self._is_known = True
        if passed is not self.is_failing:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if not is_first and self._in_a_row < (check.rise if passed else check.fall):
            return False
        self.is_failing, self._in_a_row = not passed, 0
        return True
