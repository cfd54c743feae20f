"""Issuer: what is ordered, when, and what keeps an order from being made."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog.testing
import trustme
from support.tunnel import until

from towonel.edge.certificates.acme import issuer as issuing
from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.history import read_history
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.metrics import Metrics
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRefused
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

type Counted = Callable[..., float]

TENANT = TenantId(b"t" * 32)
NAME = Hostname("app.example.eu")
NOW = datetime.now(UTC)


class Place:
    """Edge around an issuer: what authority it has, whose names there are, and what workers are told."""

    def __init__(self, folder: Path, authority: trustme.CA, metrics: Metrics) -> None:
        self.told: list[Message] = []
        self.orders: list[str] = []
        self.failure: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()
        self.tenants: dict[Hostname, TenantId] = {NAME: TENANT}
        self.now = NOW
        self.folder, self._authority, self._metrics = folder, authority, metrics
        self.store = CertificateStore(self.told.append)

    def make(self, *, eager: bool = True) -> Issuer:
        self.store.source = Issuer(
            *(self.order, self.store, self.folder, self.tenants.get, self._metrics),
            eager=eager,
            clock=lambda: self.now,
        )
        return self.store.source

    def order(self, name: str, present: Callable[[bytes | None], None]) -> tuple[bytes, bytes]:
        self.orders.append(name)
        self.may_end.wait(20)
        if self.failure is not None:
            raise self.failure
        issued = self._authority.issue_cert(
            name, not_before=self.now, not_after=self.now + timedelta(days=90)
        )
        return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()

    def refusals(self) -> list[str]:
        return [each.reason for each in self.told if isinstance(each, CertificateRefused)]

    def loaded(self) -> list[str]:
        return [each.name for each in self.told if isinstance(each, CertificateLoaded)]


@pytest.fixture
def place(tmp_path: Path, authority: trustme.CA, metrics: Metrics) -> Place:
    return Place(tmp_path / "certs", authority, metrics)


@pytest.fixture
async def issuer(place: Place) -> AsyncIterator[Issuer]:
    issuer = place.make()
    async with issuer.run(look_s=0.01):
        yield issuer


async def test_many_clients_of_a_name_cause_one_order(place: Place, issuer: Issuer) -> None:
    place.may_end.clear()
    for number in range(50):
        place.store.want(NAME, f"192.0.2.{number}")
    await until(lambda: place.orders == [NAME])
    place.may_end.set()
    await until(lambda: place.loaded() == [NAME])
    place.store.want(NAME, "192.0.2.1")

    assert place.orders == [NAME]
    assert place.loaded() == [NAME, NAME]  # for the worker that had not heard of it


async def test_a_name_that_nobody_serves_here_is_not_ordered(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    place.store.want(Hostname("google.example"), "192.0.2.1")
    issuer.consider([Hostname("google.example")])
    await until(lambda: bool(place.refusals()))

    assert place.refusals() == ["no agent publishes it with terminate"]
    assert place.orders == []
    assert counted("certificate_orders_total", result="refused") == 1


async def test_without_an_authority_clients_are_told_so(place: Place) -> None:
    place.store.want(NAME, "192.0.2.1")

    assert place.refusals() == ["there are no files of it, and no authority is asked"]


async def test_a_failure_is_told_and_waits_longer_each_time_even_over_a_restart(
    place: Place, counted: Counted
) -> None:
    place.failure = OrderError("caa: forbidden")
    async with place.make(eager=False).run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.refusals() == ["caa: forbidden"])
        place.store.want(NAME, "192.0.2.1")
    async with place.make(eager=False).run():
        place.store.want(NAME, "192.0.2.1")
        place.now += timedelta(minutes=6)
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.refusals()[-1] == "caa: forbidden")

    assert place.orders == [NAME, NAME]
    assert all("caa: forbidden; tried again at " in each for each in place.refusals()[1:3])
    assert read_history(place.folder, NAME).failures == 2
    assert counted("certificate_orders_total", result="failed") == 2


async def test_a_bug_of_the_library_is_a_failure_of_the_name(place: Place, issuer: Issuer) -> None:
    place.failure = ZeroDivisionError("of the library")
    with structlog.testing.capture_logs() as logs:
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: bool(place.refusals()))

    assert place.refusals() == ["ZeroDivisionError: of the library"]
    assert logs[-1]["event"] == "certificate.order_failed"


async def test_one_source_has_few_names_ordered(place: Place, issuer: Issuer) -> None:
    names = [Hostname(f"n{number}.example.eu") for number in range(issuing.PER_SOURCE + 1)]
    place.tenants.update(dict.fromkeys(names, TENANT))
    for name in names:
        place.store.want(name, "192.0.2.1")
    await until(lambda: len(place.orders) == issuing.PER_SOURCE)

    [reason] = place.refusals()
    assert "192.0.2.1" in reason


async def test_one_tenant_does_not_take_all_orders_there_are(place: Place, issuer: Issuer) -> None:
    place.may_end.clear()
    names = [Hostname(f"n{number}.example.eu") for number in range(issuing.PER_TENANT + 1)]
    place.tenants.update(dict.fromkeys(names, TENANT))
    for number, name in enumerate(names):
        place.store.want(name, f"192.0.2.{number % 250}")
    place.may_end.set()

    [reason] = place.refusals()
    assert "for the tenant" in reason


async def test_a_certificate_is_renewed_in_time_and_once(place: Place, issuer: Issuer) -> None:
    issuer.consider([NAME])
    await until(lambda: place.loaded() == [NAME])
    place.now += timedelta(days=50)
    await asyncio.sleep(0)
    before = list(place.orders)
    place.now += timedelta(days=10)
    await until(lambda: len(place.loaded()) == 2)
    place.tenants.clear()

    assert before == [NAME]
    assert place.orders == [NAME, NAME]


async def test_one_that_was_put_there_by_hand_is_not_renewed(
    place: Place, authority: trustme.CA
) -> None:
    place.folder.mkdir(0o700)
    issued = authority.issue_cert(NAME, not_after=NOW + timedelta(days=1))
    issued.private_key_pem.write_to_path(str(place.folder / f"{NAME}.key"))
    (place.folder / f"{NAME}.key").chmod(0o600)
    issued.cert_chain_pems[0].write_to_path(str(place.folder / f"{NAME}.crt"))
    await place.store.load(place.folder)
    issuer = place.make()
    async with issuer.run(look_s=0.01):
        issuer.consider([NAME])
        other = Hostname("other.example.eu")
        place.tenants[other] = TENANT
        issuer.consider([other])
        await until(lambda: place.orders == [other])


async def test_a_folder_that_cannot_be_written_to_causes_no_order(
    place: Place, issuer: Issuer
) -> None:
    place.folder.parent.joinpath("certs").write_text("a file")
    place.store.want(NAME, "192.0.2.1")
    await until(lambda: bool(place.refusals()))

    assert place.orders == []


async def test_orders_under_way_keep_the_edge_from_nothing(place: Place) -> None:
    place.may_end.clear()
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.orders == [NAME])
    place.may_end.set()

    assert place.loaded() == []
