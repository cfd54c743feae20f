"""Requests of people: a certificate is renewed or revoked, and nothing else happens."""

import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import override

import pytest
import structlog.testing
import trustme
from structlog.typing import EventDict
from support.tunnel import until

from towonel.api.certificates.reports import MAX_REQUESTS, CertificateRequest
from towonel.edge.certificates.acme.authority import OrderError
from towonel.edge.certificates.acme.budgets import Budgets
from towonel.edge.certificates.acme.history import OrderHistory, read_history
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.certificates.acme.requests import CertificateRequests
from towonel.edge.certificates.store import CertificateStore
from towonel.edge.metrics import Metrics
from towonel.edge.worker.messages import Message
from towonel.edge.worker.termination.messages import CertificateLoaded, CertificateRefused
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

NAME = Hostname("app.example.eu")
NOW = datetime.now(UTC)
RENEW = CertificateRequest(hostname=NAME, action="renew")
REVOKE = CertificateRequest(hostname=NAME, action="revoke", reason="key_compromise")


class Desk:
    """Edge that takes requests, and its authority: what that was asked to issue and to revoke."""

    def __init__(self, folder: Path, authority: trustme.CA, metrics: Metrics) -> None:
        self.told: list[Message] = []
        self.ordered: list[str] = []
        self.revoked: list[int] = []
        self.failure: OrderError | None = None
        self.tenants = {NAME: TenantId(b"t" * 32)}
        self.now, self.folder, self._authority = NOW, folder, authority
        self.store = CertificateStore(self.told.append)
        self.issuer = Issuer(
            *(self.order, self.store, folder, self.tenants.get, Budgets(50), metrics),
            clock=lambda: self.now,
        )
        self.store.source = self.issuer
        self.requests = CertificateRequests(self.issuer, self.store, folder, self.revoke)

    def order(
        self, name: str, present: Callable[[bytes], None], replaced: bytes | None, /
    ) -> tuple[bytes, bytes]:
        self.ordered.append(name)
        return self.issue()

    def issue(self) -> tuple[bytes, bytes]:
        if self.failure is not None:
            raise self.failure
        end = self.now + timedelta(days=90)
        issued = self._authority.issue_cert(NAME, not_before=self.now, not_after=end)
        return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()

    def revoke(self, pem: bytes, reason: int) -> None:
        assert b"BEGIN CERTIFICATE" in pem
        if self.failure is not None:
            raise self.failure
        self.revoked.append(reason)

    async def ask(self, request: CertificateRequest) -> EventDict:
        """Ask, and return the line of the log about it."""
        with structlog.testing.capture_logs() as logs:
            self.requests.take([request])
            await until(lambda: any("certificate.request" in line["event"] for line in logs))
        return next(line for line in logs if "certificate.request" in line["event"])

    def loaded(self) -> int:
        return sum(isinstance(each, CertificateLoaded) for each in self.told)

    def history(self) -> OrderHistory:
        return replace(read_history(self.folder, NAME), first_at=0.0, issued_at=0.0, ends_at=0.0)


@pytest.fixture
async def desk(tmp_path: Path, authority: trustme.CA, metrics: Metrics) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "certs", authority, metrics)
    async with desk.issuer.run(), desk.requests.run():
        yield desk


@pytest.fixture
async def issued(desk: Desk) -> Desk:
    """The same once it has a certificate."""
    desk.issuer.consider([NAME])
    await until(lambda: desk.loaded() == 1)
    return desk


async def test_a_certificate_is_renewed_before_its_time(issued: Desk) -> None:
    first = issued.store.certificates[NAME].serial
    line = await issued.ask(RENEW)
    await until(lambda: issued.loaded() == 2 and NAME not in issued.issuer.queue)
    issued.issuer._look([NAME])

    assert (line["event"], line["name"]) == ("certificate.request_done", NAME)
    assert issued.store.certificates[NAME].serial != first
    assert NAME not in issued.issuer.queue  # not for ever


async def test_a_name_that_failed_is_tried_at_once(desk: Desk) -> None:
    desk.failure = OrderError("dns: none")
    await desk.ask(RENEW)
    await until(lambda: desk.history().failures == 1)
    await until(lambda: NAME not in desk.issuer.queue)
    desk.failure = None
    await desk.ask(RENEW)
    await until(lambda: desk.loaded() == 1)

    assert desk.ordered == [NAME] * 2
    assert desk.history() == OrderHistory(issued=True)


async def test_one_that_is_revoked_is_gone_and_nothing_is_ordered_until_it_is_renewed(
    issued: Desk,
) -> None:
    await issued.ask(REVOKE)
    issued.store.want(NAME, "192.0.2.1")
    issued.issuer.consider([NAME])
    issued.issuer._look([NAME])
    [refusal] = [each.reason for each in issued.told if isinstance(each, CertificateRefused)]

    assert issued.revoked == [1]
    assert [path.suffix for path in issued.folder.iterdir()] == [".acme"]
    assert "revoked" in refusal
    assert issued.ordered == [NAME]
    assert issued.history() == OrderHistory(revoked=True)
    await issued.ask(RENEW)
    await until(lambda: issued.loaded() == 2)
    assert issued.history() == OrderHistory(issued=True)


async def test_one_that_was_revoked_and_cannot_be_renewed_says_why(issued: Desk) -> None:
    await issued.ask(REVOKE)
    issued.failure = OrderError("dns: none")
    await issued.ask(RENEW)
    await until(lambda: issued.history().failures == 1)

    assert (issued.history().revoked, issued.history().reason) == (False, "dns: none")


async def test_an_authority_that_does_not_revoke_leaves_the_certificate(issued: Desk) -> None:
    issued.failure = OrderError("no answer of the authority")
    line = await issued.ask(REVOKE)

    assert (line["event"], line["reason"]) == ("certificate.request_failed", str(issued.failure))
    assert NAME in issued.store.certificates
    assert issued.history() == OrderHistory(issued=True)


async def test_files_that_somebody_put_there_are_left_alone(desk: Desk) -> None:
    await desk.store.put(desk.folder, NAME, *desk.issue())
    reasons = {(await desk.ask(each))["reason"] for each in (RENEW, REVOKE)}

    assert reasons == {"its certificate was not ordered here"}
    assert (desk.ordered, desk.revoked) == ([], [])
    assert NAME in desk.store.certificates


async def test_files_that_somebody_put_in_the_place_of_ordered_ones_are_left_alone(
    issued: Desk,
) -> None:
    issued.now += timedelta(days=1)
    await issued.store.put(issued.folder, NAME, *issued.issue())
    by_hand = issued.store.certificates[NAME]
    reasons = {(await issued.ask(each))["reason"] for each in (RENEW, REVOKE)}

    assert reasons == {"its certificate was not ordered here"}
    assert (issued.ordered, issued.revoked) == ([NAME], [])
    assert issued.store.certificates[NAME] == by_hand


async def test_what_cannot_be_done_is_said(desk: Desk) -> None:
    desk.tenants.clear()
    requests = (
        RENEW,
        CertificateRequest(hostname="other.example.eu", action="revoke"),
        CertificateRequest(hostname=NAME, action="bless"),
        CertificateRequest(hostname="*", action="renew"),
    )
    reasons = [(await desk.ask(each))["reason"] for each in requests]

    assert reasons[0] == "no agent publishes it with terminate"
    assert reasons[1] == "there is no certificate of it"
    assert "does not know how" in reasons[2]
    assert "is a pattern" in reasons[3]


async def test_a_request_about_a_name_that_is_ordered_is_left_out(desk: Desk) -> None:
    may_end = threading.Event()
    desk.ordered = Blocked(may_end)
    desk.issuer.consider([NAME])
    await until(lambda: NAME in desk.issuer.queue)
    line = await desk.ask(REVOKE)
    may_end.set()
    await until(lambda: desk.loaded() == 1)

    assert line["reason"] == "an order for it is under way"


class Blocked(list[str]):
    """List whose appends wait: an authority that takes its time."""

    def __init__(self, may_end: threading.Event) -> None:
        super().__init__()
        self._may_end = may_end

    @override
    def append(self, name: str) -> None:
        self._may_end.wait(20)


async def test_of_too_many_requests_the_last_are_left_out(
    tmp_path: Path, authority: trustme.CA, metrics: Metrics
) -> None:
    desk = Desk(tmp_path, authority, metrics)
    with structlog.testing.capture_logs() as logs:
        desk.requests.take([RENEW] * (MAX_REQUESTS + 1))

    assert [line["reason"] for line in logs] == ["too many requests wait"]


async def test_an_edge_without_an_authority_says_so() -> None:
    store = CertificateStore(lambda _: None)
    with structlog.testing.capture_logs() as logs:
        store.requests.take([RENEW])

    assert [(line["name"], line["action"]) for line in logs] == [(NAME, "renew")]
