"""Records of certificates, as people get them: each name with what it has, lacks, and needs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import override

import pytest

from towonel.api.certificates.reports import CertificateReport
from towonel.edge.certificates.acme.history import NO_ORDERS, OrderHistory
from towonel.edge.certificates.certificate import Certificate
from towonel.edge.certificates.records import CertificateRecords
from towonel.edge.certificates.sources import OrderRecords
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.core.certificates.fixes import NO_AGENT
from towonel.edge.core.route_table import RouteTable
from towonel.edge.metrics import Metrics
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta, TlsMode

type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
NOW = datetime(2026, 11, 28, tzinfo=UTC)
DAY = timedelta(days=1)
A, B, C = (Hostname(f"{letter}.example.eu") for letter in "abc")


class Orders(OrderRecords):
    """Orders that a test tells of."""

    def __init__(self) -> None:
        self.histories: dict[Hostname, OrderHistory] = {}
        self.ordering: set[Hostname] = set()
        self.refused: dict[Hostname, str] = {}

    @override
    def names(self) -> set[Hostname]:
        return {*self.histories, *self.ordering}

    @override
    def history_of(self, name: Hostname) -> OrderHistory:
        return self.histories.get(name, NO_ORDERS)

    @override
    def is_ours(self, certificate: Certificate) -> bool:
        return self.histories.get(certificate.name, NO_ORDERS).issued

    @override
    def find_refusal(self, name: Hostname) -> str:
        return self.refused.get(name, "")

    @override
    def is_ordering(self, name: Hostname) -> bool:
        return name in self.ordering

    @override
    def renews_at(self, certificate: Certificate) -> datetime | None:
        return certificate.not_after - 30 * DAY


class Edge:
    """Store and routes of an edge, and the records of its certificates."""

    def __init__(self, metrics: Metrics) -> None:
        self.store, self.table = CertificateStore(lambda _: None), RouteTable()
        self.orders = Orders()
        self._records = CertificateRecords(self.store, self.table, metrics, clock=lambda: NOW)

    def publish(self, *names: str, mode: TlsMode = TlsMode.TERMINATE) -> None:
        routes = tuple(Route(ServiceKind.HTTPS, name, TENANT, tls_mode=mode) for name in names)
        delta = RouteDelta(1, snapshot=False, routes=routes)
        self.table.apply(delta)
        self.store.change(delta)

    def have(self, name: Hostname, left_days: float = 60) -> None:
        end = NOW + left_days * DAY
        self.store.certificates[name] = Certificate(
            name, b"", end - 90 * DAY, end, "R11", True, "3f"
        )

    async def collect(self) -> dict[str, CertificateReport]:
        return {each.hostname: each for each in await self._records.collect()}


@pytest.fixture
def edge(metrics: Metrics) -> Edge:
    return Edge(metrics)


async def test_a_certificate_tells_whose_it_is_how_long_it_lasts_and_who_renews_it(
    edge: Edge,
) -> None:
    edge.publish(A)
    edge.have(A)
    edge.store.orders = edge.orders
    edge.orders.histories[A] = OrderHistory(issued=True)
    record = (await edge.collect())[A]

    assert (record.state, record.source, record.tenant_id) == ("valid", "acme", TENANT)
    assert (record.issuer, record.serial, record.error) == ("R11", "3f", "")
    assert record.not_after_ms == int((NOW + 60 * DAY).timestamp() * 1000)
    assert record.renews_at_ms == int((NOW + 30 * DAY).timestamp() * 1000)


async def test_a_name_that_is_published_and_has_none_is_told_with_the_reason(edge: Edge) -> None:
    edge.publish(A, "*.wild.example.eu")
    without = await edge.collect()
    edge.store.orders = edge.orders
    waiting = (await edge.collect())[A]
    edge.orders.ordering.add(A)
    ordering = (await edge.collect())[A]

    assert list(without) == [A]
    assert (without[A].state, without[A].source) == ("failed", None)
    assert "no authority" in without[A].error
    assert (waiting.state, "first client" in waiting.fix) == ("missing", True)
    assert (ordering.state, ordering.is_ordering) == ("ordering", True)


async def test_the_hubs_own_name_is_told_and_watched_although_nobody_publishes_it(
    edge: Edge, counted: Counted
) -> None:
    edge.store.hub_name = A
    without = await edge.collect()
    edge.have(A)
    found = (await edge.collect())[A]

    assert (without[A].state, without[A].tenant_id) == ("failed", None)
    assert (found.state, found.tenant_id) == ("valid", None)
    assert counted("certificates_by_state", state="valid") == 1
    assert counted("certificate_next_expiry_seconds") == (NOW + 60 * DAY).timestamp()


async def test_a_failure_is_told_with_its_next_try_also_while_an_older_one_serves(
    edge: Edge,
) -> None:
    edge.publish(A, B)
    edge.have(B)
    edge.store.orders = edge.orders
    later = (NOW + timedelta(hours=1)).timestamp()
    failed = OrderHistory(True, 1, later, "caa: no\x1b[2J")
    edge.orders.histories |= {A: failed, B: failed}
    found = await edge.collect()

    assert (found[A].state, found[B].state) == ("failed", "valid")
    assert {each.error for each in found.values()} == {"caa: no[2J"}
    assert {each.retry_at_ms for each in found.values()} == {int(later * 1000)}
    assert "CAA" in found[B].fix


async def test_a_name_that_the_edge_itself_refused_to_order_says_why(edge: Edge) -> None:
    edge.publish(A, B)
    edge.store.orders = edge.orders
    edge.orders.refused |= {A: "resolves to 192.0.2.7", B: NO_AGENT}
    found = await edge.collect()

    assert (found[A].state, found[A].error) == ("failed", "resolves to 192.0.2.7")
    assert (found[B].state, found[B].error) == ("missing", NO_AGENT)


async def test_one_that_was_revoked_has_ended_or_has_bad_files_says_so(edge: Edge) -> None:
    edge.publish(A, B, C)
    edge.have(B, left_days=-1)
    edge.store.expired[B] = edge.store.certificates.pop(B)
    edge.store.unusable[C] = "is for x.eu"
    edge.store.orders = edge.orders
    edge.orders.histories[A] = OrderHistory(revoked=True)
    found = await edge.collect()

    assert [found[name].state for name in (A, B, C)] == ["failed", "expired", "failed"]
    assert ["revoked" in found[A].error, "ended" in found[B].error] == [True, True]
    assert found[C].error.endswith("is for x.eu")


async def test_a_name_that_nobody_publishes_counts_for_nobody(edge: Edge, counted: Counted) -> None:
    edge.have(A, left_days=1)
    edge.orders.histories[B] = OrderHistory(False, 1, 0.0, "dns: none")
    edge.store.orders = edge.orders
    found = await edge.collect()
    edge.publish(A, mode=TlsMode.PASSTHROUGH)

    assert list(found) == [A]
    assert (found[A].tenant_id, found[A].state) == (None, "expiring")
    assert (await edge.collect())[A].tenant_id is None
    assert counted("certificates_by_state", state="expiring") == 0
    assert counted("certificate_next_expiry_seconds") == 0


async def test_a_name_that_is_published_no_more_or_passed_through_needs_none(edge: Edge) -> None:
    edge.publish(A, B, C)
    edge.publish(B, mode=TlsMode.PASSTHROUGH)
    removed = RouteDelta(2, snapshot=False, removed=(f"https:{C}", "tcp:2222"))
    edge.table.apply(removed)
    edge.store.change(removed)

    assert edge.store.published == {A}
    assert list(await edge.collect()) == [A]


async def test_what_somebody_has_to_look_at_comes_first_and_is_counted(
    edge: Edge, counted: Counted
) -> None:
    edge.publish(A, B, C)
    edge.have(A)
    edge.have(B, left_days=3)
    edge.store.orders = edge.orders
    edge.orders.histories |= dict.fromkeys((B, C), OrderHistory(False, 1, 0.0, "dns: none"))

    assert list(await edge.collect()) == [C, B, A]
    assert counted("certificates_by_state", state="valid") == 1
    assert counted("certificates_by_state", state="failed") == 1
    assert counted("certificates_failing") == 2
    assert counted("certificate_next_expiry_seconds") == (NOW + 3 * DAY).timestamp()
