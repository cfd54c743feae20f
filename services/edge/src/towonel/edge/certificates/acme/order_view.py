"""View of an issuer's orders, for the records that people see."""

from datetime import datetime
from typing import override

from towonel.edge.certificates.acme.history import OrderHistory
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.certificates.sources import OrderRecords
from towonel.wire.names import Hostname


class OrderView(OrderRecords):
    """View of what is known of each name's orders."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    @override
    def names(self) -> set[Hostname]:
        return self._issuer.histories.names()

    @override
    def history_of(self, name: Hostname) -> OrderHistory:
        return self._issuer.histories.get(name)

    @override
    def is_ours(self, certificate: Certificate) -> bool:
        return self._issuer.histories.is_ours(certificate)

    @override
    def find_refusal(self, name: Hostname) -> str:
        return self._issuer.refused.find_reason(name)

    @override
    def is_ordering(self, name: Hostname) -> bool:
        return name in self._issuer.queue

    @override
    def renews_at(self, certificate: Certificate) -> datetime | None:
        return self._issuer.times.find(certificate)
