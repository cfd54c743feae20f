"""Times of renewal: of the certificates that were ordered here, as their life or the authority says."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from towonel.edge.certificates.acme.histories import Histories
from towonel.edge.certificates.acme.renewals import Renewals, Suggest
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.core.certificates.issuance import Life, find_renewal, trust_time


class RenewalTimes:
    """Times at which certificates are to be renewed.

    Args:
        histories: tell which were ordered here, and when.
        find_all: returns all certificates.
        suggest: asks when one is to be renewed, in a thread; None for never.
        clock: tells the time.

    Attributes:
        renewals: what the authority suggests, if it is asked.
    """

    def __init__(
        self,
        histories: Histories,
        find_all: Callable[[], Iterable[Certificate]],
        suggest: Suggest | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._histories = histories
        self._find_all = find_all
        self._clock = clock
        self.renewals = None if suggest is None else Renewals(suggest, self._find_ours)

    def find(self, certificate: Certificate) -> datetime | None:
        """Return when a certificate is to be renewed, if it was ordered here."""
        if not self._histories.is_ours(certificate):
            return None
        name = certificate.name
        window = None if self.renewals is None else self.renewals.find_window(certificate)
        issued_at = trust_time(self._histories.get(name).issued_at, self._clock())
        life = Life(certificate.not_before, certificate.not_after, issued_at, window)
        return find_renewal(name, life)

    def _find_ours(self) -> Iterator[Certificate]:
        return filter(self._histories.is_ours, self._find_all())
