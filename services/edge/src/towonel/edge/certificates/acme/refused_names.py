"""Memory of names that are not ordered now, and why, so that they are not looked at for each client."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from towonel.edge.certificates.acme.authority import OrderRefused
from towonel.edge.core.certificates.issuance import Refusal
from towonel.wire.names import Hostname

MAX_NAMES: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Refused:
    """Refusal of a name, with its reason, and when that was."""

    at_s: float
    refusal: Refusal
    reason: str


class RefusedNames:
    """Names that were refused, of bounded number.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names: dict[Hostname, _Refused] = {}  # the one that was refused first is the first

    def add(self, name: Hostname, refused: OrderRefused) -> bool:
        """Remember a refusal, and return whether the reason is another than before."""
        before = self._names.pop(name, None)
        if len(self._names) >= MAX_NAMES:
            del self._names[next(iter(self._names))]
        self._names[name] = _Refused(self._clock(), refused.refusal, str(refused))
        return before is None or before.reason != str(refused)

    def check(self, name: Hostname, within_s: float) -> None:
        """Refuse a name that was refused within so many seconds.

        Raises:
            OrderRefused: as it was.
        """
        found = self._names.get(name)
        if found is not None and self._clock() - found.at_s < within_s:
            raise OrderRefused(found.refusal, found.reason)

    def find_reason(self, name: Hostname) -> str:
        """Return why a name was refused last, if that was not forgotten."""
        found = self._names.get(name)
        return "" if found is None else found.reason

    def forget(self, name: Hostname) -> None:
        """Forget a name that has a certificate."""
        self._names.pop(name, None)
