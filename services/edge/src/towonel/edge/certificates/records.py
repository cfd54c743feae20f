"""Records of an edge's certificates, for people: whose each is, how long it lasts, and what is wrong with it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypedDict

from towonel.api.certificates.reports import (
    MAX_ERROR_CHARS,
    MAX_ISSUER_CHARS,
    CertificateReport,
    CertificateState,
)
from towonel.edge.certificates.acme.history import NO_ORDERS
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.certificates.fixes import (
    ENDED,
    NO_AGENT,
    NO_FILES,
    NOT_ORDERED,
    REVOKED,
    UNUSABLE,
    find_fix,
)
from towonel.edge.core.certificates.state import find_state
from towonel.edge.core.route_table import RouteTable
from towonel.edge.credentials import read_clock
from towonel.edge.metrics import Metrics
from towonel.wire.names import Hostname
from towonel.wire.routes import Route, TlsMode

YIELD_EVERY: Final = 250  # records built before clients get their turn
# What somebody has to look at comes first: of too many the last ones are left out.
_URGENCY: Final[tuple[CertificateState, ...]] = (
    *("expired", "failed", "expiring", "ordering", "missing", "valid"),
)


class _Described(TypedDict, total=False):
    """Fields of a record that are of the certificate itself."""

    issuer: str
    serial: str
    not_before_ms: int
    not_after_ms: int


class CertificateRecords:
    """Records of the certificates that an edge has, or wants for names that are published, and for the hub's own.

    Args:
        store: of certificates.
        table: tells whose a name is.
        metrics: count the published names by state.
        clock: tells the time.
    """

    def __init__(
        self,
        store: CertificateStore,
        table: RouteTable,
        metrics: Metrics,
        clock: Callable[[], datetime] = read_clock,
    ) -> None:
        self._store = store
        self._table = table
        self._metrics = metrics
        metrics.certificate_expiry.set_function(self.find_first_end)
        self._clock = clock

    async def collect(self) -> list[CertificateReport]:
        """Return a record of each name, those first that somebody has to look at, and count them in the metrics."""
        store = self._store
        ordered = store.orders.names() if store.orders is not None else set[Hostname]()
        names = {*store.certificates, *store.expired, *store.unusable, *store.published, *ordered}
        if store.hub_name is not None:
            names.add(store.hub_name)
        records: list[CertificateReport] = []
        for number, name in enumerate(names):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            record = self._describe(name)
            if record is not None:
                records.append(record)
        self._count([each for each in records if self._is_wanted(Hostname(each.hostname))])
        return sorted(records, key=_rank)

    def _count(self, wanted: list[CertificateReport]) -> None:
        counts = Counter(each.state for each in wanted)
        for state in _URGENCY:
            self._metrics.certificates_by_state.labels(state).set(counts[state])
        failing = [each for each in wanted if each.error and each.state != "missing"]
        self._metrics.certificates_failing.set(len(failing))

    def _describe(self, name: Hostname) -> CertificateReport | None:
        """Return the record of a name; None of one that has no certificate, and needs none."""
        store, route = self._store, self._find_route(name)
        if not self._is_wanted(name) and name not in store.certificates:
            return None
        certificate = store.certificates.get(name) or store.expired.get(name)
        orders, now, error = store.orders, self._clock(), self._find_error(name)
        history = NO_ORDERS if orders is None else orders.history_of(name)
        is_ordering = orders is not None and orders.is_ordering(name)
        renews_at = orders.renews_at(certificate) if orders and certificate else None
        retry_at_ms = int(history.retry_at * 1000)
        is_ours = orders is not None and certificate is not None and orders.is_ours(certificate)
        described: _Described = {} if certificate is None else _describe_certificate(certificate)
        return CertificateReport(
            hostname=name,
            state=find_state(
                None if certificate is None else (certificate.not_before, certificate.not_after),
                now,
                is_ordering=is_ordering,
                has_failed=error not in {"", NO_AGENT, NOT_ORDERED},
            ),
            source=None if certificate is None else "acme" if is_ours else "folder",
            tenant_id=None if route is None else route.tenant_id,
            **described,
            renews_at_ms=None if renews_at is None else _to_ms(renews_at),
            is_ordering=is_ordering,
            error=_to_plain(error, MAX_ERROR_CHARS),
            fix=find_fix(error),
            retry_at_ms=retry_at_ms if retry_at_ms > _to_ms(now) else None,
        )

    def find_first_end(self) -> float:
        """Return when the first certificate of a name that is served ends, in Unix seconds; 0 without any."""
        found = self._store.certificates.values()
        ends = (each.not_after.timestamp() for each in found if self._is_wanted(each.name))
        return min(ends, default=0.0)

    def _is_wanted(self, name: Hostname) -> bool:
        return name == self._store.hub_name or self._find_route(name) is not None

    def _find_route(self, name: Hostname) -> Route | None:
        route = self._table.lookup(name)
        return route if route is not None and route.tls_mode is TlsMode.TERMINATE else None

    def _find_error(self, name: Hostname) -> str:
        """Return why there is no certificate of a name, or no newer one; nothing where all is well."""
        store = self._store
        if store.orders is not None:
            history = store.orders.history_of(name)
            reason = history.reason or store.orders.find_refusal(name)
            if history.revoked or reason:
                return REVOKED if history.revoked else reason
        if name in store.unusable:
            return UNUSABLE + store.unusable[name]
        if name in store.certificates:
            return ""
        if name in store.expired:
            return ENDED
        return NO_FILES if store.orders is None else NOT_ORDERED


def _rank(record: CertificateReport) -> tuple[int, bool, str]:
    return _URGENCY.index(record.state), not record.error, record.hostname


def _describe_certificate(certificate: Certificate) -> _Described:
    return {
        "issuer": _to_plain(certificate.issuer, MAX_ISSUER_CHARS),
        "serial": certificate.serial,
        "not_before_ms": _to_ms(certificate.not_before),
        "not_after_ms": _to_ms(certificate.not_after),
    }


def _to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _to_plain(text: str, most_chars: int) -> str:
    """Return what is printable of a text of strangers: it moves no terminal's cursor."""
    return "".join(filter(str.isprintable, text))[:most_chars]
