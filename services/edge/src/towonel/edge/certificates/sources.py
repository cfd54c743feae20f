"""Sources of certificates that the folder does not have, what is known of their orders, and what people ask of them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, override

import structlog

from towonel.api.certificates.reports import CertificateRequest
from towonel.edge.certificates.acme.history import OrderHistory
from towonel.edge.certificates.certificate import Certificate
from towonel.wire.names import Hostname

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class CertificateSource(Protocol):
    """Source of certificates that the folder does not have."""

    def want(self, name: Hostname, source: str) -> None:
        """Get the certificate that a client of a source waits for; `refuse` of the store is called where there is none."""
        ...

    def consider(self, names: Iterable[Hostname]) -> None:
        """Get certificates of names that are published, or whose agents came, before clients wait for them."""
        ...


class OrderRecords(Protocol):
    """Records of the orders of names."""

    def names(self) -> set[Hostname]:
        """Return the names that were ordered, or are."""
        ...

    def history_of(self, name: Hostname) -> OrderHistory:
        """Return the history of a name's orders."""
        ...

    def is_ours(self, certificate: Certificate) -> bool:
        """Tell whether a certificate was ordered here, and not put there by hand."""
        ...

    def find_refusal(self, name: Hostname) -> str:
        """Return why a name was not ordered, where that was this edge's own decision."""
        ...

    def is_ordering(self, name: Hostname) -> bool:
        """Tell whether an order of a name is under way, or waits for its turn."""
        ...

    def renews_at(self, certificate: Certificate) -> datetime | None:
        """Return when a certificate is renewed, if it is."""
        ...


class RequestReceiver(Protocol):
    """Receiver of what people ask of certificates."""

    def take(self, requests: Iterable[CertificateRequest]) -> None:
        """Do what is asked, each once."""
        ...


class NoRequests(RequestReceiver):
    """Receiver at an edge that orders no certificates."""

    @override
    def take(self, requests: Iterable[CertificateRequest]) -> None:
        for each in requests:
            log.warning(
                "certificate.request_failed",
                name=each.hostname,
                action=each.action,
                reason="no authority is asked here",
            )
