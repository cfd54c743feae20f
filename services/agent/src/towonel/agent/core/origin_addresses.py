"""Addresses of one origin as a worker knows them: how old they are, and when to ask for them.

A name's addresses are used for five seconds, and asked for again when half of that is over, so that the
clients of a busy service do not wait. Addresses at which nothing answers are asked for once more.
"""

from typing import Final

from towonel.agent.core.origin_attempts import SocketAddress

FRESH_S: Final = 5.0  # a container that is started anew has another address
AGEING_S: Final = FRESH_S / 2
MIN_AGE_S: Final = 1.0  # so long an answer counts, even if nothing answers at its addresses


class OriginAddresses:
    """Addresses of one origin.

    Args:
        addresses: those of an origin that is named by its address; None for one that has a name.

    Attributes:
        known: the addresses; none if the name does not resolve, or was never asked for.
    """

    def __init__(self, addresses: tuple[SocketAddress, ...] | None) -> None:
        self.known = addresses or ()
        self._is_name = addresses is None
        self._at: float | None = None
        self._requested = False

    def are_fresh(self, now: float) -> bool:
        """Tell whether they may be used."""
        return not self._is_name or self._age(now) < FRESH_S

    def is_to_ask(self, now: float) -> bool:
        """Tell whether to ask for them now; once it says so, that counts as done."""
        return self._request_if(self._age(now) >= AGEING_S)

    def are_doubtful(self, now: float) -> bool:
        """Tell whether others may be known by now, since nothing answers at these."""
        return self._is_name and self._age(now) >= MIN_AGE_S

    def is_to_ask_again(self, now: float) -> bool:
        """Tell whether to ask, since nothing answers; otherwise as `is_to_ask`."""
        return self._request_if(self.are_doubtful(now))

    def learn(self, addresses: tuple[SocketAddress, ...], now: float) -> None:
        """Take the answer of now."""
        self.known, self._at, self._requested = addresses, now, False

    def _age(self, now: float) -> float:
        return FRESH_S if self._at is None else now - self._at

    def _request_if(self, wanted: bool) -> bool:
        requests = self._is_name and wanted and not self._requested
        self._requested = self._requested or requests
        return requests
