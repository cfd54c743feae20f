"""Limits of the issuer: what is not ordered, for which reason, and that asking for it costs nothing."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.issuing import NAME, Place
from support.tunnel import until

from towonel.edge.certificates import files, store
from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.certificates.acme.budgets import PER_SOURCE, PER_TENANT
from towonel.edge.certificates.acme.issuer import Issuer
from towonel.edge.core.certificates.issuance import Refusal
from towonel.edge.worker.termination.messages import CertificateRefused
from towonel.wire.names import Hostname

type Counted = Callable[..., float]

REFUSED = "certificate_orders_refused_total"


async def test_one_source_has_few_names_ordered(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    names = place.publish(f"n{number}.example.eu" for number in range(PER_SOURCE + 1))
    for name in names:
        place.store.want(name, "192.0.2.1")
    await until(lambda: len(place.loaded()) == PER_SOURCE)

    [reason] = place.refusals()
    assert "192.0.2.1" in reason
    assert CertificateRefused(names[-1], reason, "192.0.2.1") in place.sent
    assert counted(REFUSED, reason="source_budget") == 1


async def test_one_tenant_does_not_take_all_orders_there_are(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    place.failure = OrderError("over")
    names = place.publish(f"n{number}.example.eu" for number in range(PER_TENANT + 1))
    for number, name in enumerate(names):
        place.store.want(name, f"192.0.2.{number % 250}")
    await until(lambda: len(place.refusals()) == PER_TENANT + 1)

    assert counted(REFUSED, reason="tenant_budget") == 1
    assert any("for the tenant" in each for each in place.refusals())


async def test_a_registered_domain_has_a_budget_of_names_and_renewals_are_not_of_it(
    place: Place, counted: Counted
) -> None:
    names = place.publish(f"n{number}.example.co.uk" for number in range(3))
    async with place.make(per_domain=2).run(look_s=0.01):
        for name in (*names, NAME):
            place.store.want(name, "192.0.2.1")
        await until(lambda: len(place.loaded()) == 3)
        await until(lambda: bool(place.refusals()))
        place.now += timedelta(days=61)
        await until(lambda: len(place.loaded()) == 6)

    assert place.refusals() == ["too many were ordered for example.co.uk within a week"]
    assert counted(REFUSED, reason="domain_budget") == 1


async def test_a_restart_forgets_no_name_of_a_domain_and_a_failure_is_none(place: Place) -> None:
    names = place.publish(f"n{number}.example.eu" for number in range(3))
    place.failure = OrderError("over")
    async with place.make(per_domain=2, eager=False).run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: len(place.refusals()) == 1)
        place.failure = None
        for name in names[:2]:
            place.store.want(name, "192.0.2.1")
        await until(lambda: len(place.loaded()) == 2)
    async with place.make(per_domain=2, eager=False).run():
        place.store.want(names[2], "192.0.2.1")
        await until(lambda: len(place.refusals()) == 2)

    assert len(place.loaded()) == 2
    assert "example.eu within a week" in place.refusals()[1]


async def test_ten_thousand_strange_names_leave_memory_and_the_authority_alone(
    place: Place, issuer: Issuer, counted: Counted
) -> None:
    for number in range(10_000):
        issuer.want(Hostname(f"n{number}.example"), f"192.0.2.{number % 250}")

    assert counted(REFUSED, reason="not_published") == 10_000
    assert place.orders == []
    assert counted("certificate_orders_queued") == 0
    assert not place.folder.exists()


class Elsewhere:
    """Check that finds every name elsewhere, until it does not."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.is_here = False

    async def check(self, name: Hostname) -> None:
        self.checked.append(name)
        if not self.is_here:
            raise OrderRefused(
                Refusal.ELSEWHERE, "resolves to 203.0.113.9, not to this edge (192.0.2.1)"
            )


@pytest.mark.parametrize("eager", [False, True])
async def test_a_name_that_leads_elsewhere_is_not_ordered_and_is_looked_up_once(
    place: Place, counted: Counted, *, eager: bool
) -> None:
    elsewhere = Elsewhere()
    async with place.make(check=elsewhere.check, eager=eager).run(look_s=0.01) as _:
        assert isinstance(place.store.source, Issuer)
        place.store.source.consider([NAME])
        for _ in range(3):
            place.store.want(NAME, "192.0.2.1")
        await until(lambda: bool(place.refusals()))
        place.store.want(NAME, "192.0.2.1")
        other = place.publish(["other.example.eu"])
        place.store.want(other[0], "192.0.2.1")
        await until(lambda: len(place.refusals()) == 3)

    assert set(place.refusals()) == {"resolves to 203.0.113.9, not to this edge (192.0.2.1)"}
    assert elsewhere.checked == [NAME, *other]
    assert place.orders == []
    assert counted(REFUSED, reason="elsewhere") == 3


async def test_a_name_that_has_come_here_is_ordered_and_its_domain_has_paid_nothing(
    place: Place,
) -> None:
    elsewhere = Elsewhere()
    async with place.make(check=elsewhere.check, per_domain=1, refused_s=0.0).run():
        for _ in range(3):
            place.sent.clear()
            place.store.want(NAME, "192.0.2.1")
            await until(lambda: bool(place.refusals()))
        elsewhere.is_here = True
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.loaded() == [NAME])


async def test_a_check_with_a_bug_costs_one_name_and_not_the_edge(place: Place) -> None:
    async def check(name: Hostname) -> None:
        raise ValueError(f"{name} is no name")

    async with place.make(check=check).run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: place.refusals() == [f"{NAME} is no name"])


async def test_what_an_authority_says_can_be_sent_to_workers(place: Place) -> None:
    place.failure = OrderError("half a pair: \ud800" + "x" * 400)
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: bool(place.refusals()))

    [reason] = place.refusals()
    assert reason.encode().startswith(b"half a pair: ?xxx")
    assert len(reason) == 300


async def test_an_authority_that_limits_the_account_is_asked_once(
    place: Place, counted: Counted
) -> None:
    place.failure = OrderError("rateLimited: too many new orders", is_rate_limited=True)
    [other] = place.publish(["a.example.eu"])
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: len(place.refusals()) == 1)
        place.store.want(other, "192.0.2.1")
        await until(lambda: counted(REFUSED, reason="account_limited") == 1)

    assert place.orders == [NAME]


async def test_no_more_is_ordered_than_the_folder_is_read_for(
    place: Place, issuer: Issuer, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_CERTIFICATES", 1)
    [other] = place.publish(["a.example.eu"])
    place.store.want(NAME, "192.0.2.1")
    await until(lambda: place.loaded() == [NAME])
    place.store.want(other, "192.0.2.1")
    await until(lambda: counted(REFUSED, reason="folder_full") == 1)
    place.now += timedelta(days=61)
    await until(lambda: place.loaded() == [NAME, NAME])  # a renewal

    assert place.orders == [NAME, NAME]
    assert "the folder has" in place.refusals()[0]


async def test_one_that_cannot_be_loaded_is_a_failure_and_its_clients_get_an_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_CERTIFICATES", 0)
    async with place.make().run():
        place.store.want(NAME, "192.0.2.1")
        await until(lambda: len(place.refusals()) == 1)
        place.store.want(NAME, "192.0.2.1")

    assert place.orders == [NAME]
    assert all("cannot be loaded" in each for each in place.refusals())
