"""Budgets of orders: registered domains are those of the public suffix list, and budgets come back with time."""

import pytest

from towonel.edge.certificates.acme.authority import OrderError, OrderRefused
from towonel.edge.certificates.acme.budgets import PAUSE_S, PER_TENANT, WEEK_S, Budgets
from towonel.edge.core.certificates.issuance import Refusal
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname

TENANT, OTHER = TenantId(b"t" * 32), TenantId(b"o" * 32)


class Clock:
    """Clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def take(budgets: Budgets, name: str, tenant: TenantId = TENANT) -> Refusal | None:
    try:
        budgets.take(tenant, Hostname(name), is_renewal=False)
    except OrderRefused as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("a.example.eu", "example.eu", "example.de"),
        ("a.b.example.co.uk", "c.example.co.uk", "other.co.uk"),
        ("a.github.io", "x.a.github.io", "b.github.io"),
        ("com", "com", "localhost"),
    ],
)
def test_names_of_a_registered_domain_share_its_budget(name: str, same: str, other: str) -> None:
    budgets = Budgets(per_domain=1)

    assert [take(budgets, each) for each in (name, same, other)] == [None, Refusal.DOMAIN, None]


def test_a_domain_that_has_no_budget_left_costs_its_tenant_nothing() -> None:
    budgets = Budgets(per_domain=1, clock=Clock())
    for _ in range(PER_TENANT + 1):
        take(budgets, "a.example.eu")

    assert take(budgets, "a.example.de") is None


def test_a_budget_of_a_week_comes_back_bit_by_bit() -> None:
    clock = Clock()
    budgets = Budgets(per_domain=2, clock=clock)
    first = [take(budgets, "a.example.eu") for _ in range(3)]
    clock.now_s += WEEK_S / 2
    later = [take(budgets, "a.example.eu") for _ in range(2)]

    assert first == [None, None, Refusal.DOMAIN]
    assert later == [None, Refusal.DOMAIN]


def test_an_authority_that_takes_no_more_of_the_account_is_asked_for_nothing_new_for_a_while() -> (
    None
):
    clock = Clock()
    budgets, name = Budgets(per_domain=0, clock=clock), Hostname("a.example.eu")
    budgets.note_failure(name, OrderError("dns: none"))
    budgets.note_failure(name, OrderError("rateLimited: for example.eu", is_rate_limited=True))
    of_the_name = take(budgets, "b.example.de")
    budgets.note_failure(name, OrderError("rateLimited: too many", is_rate_limited=True))
    of_all = take(budgets, "b.example.de")
    budgets.take(TENANT, name, is_renewal=True)
    clock.now_s += PAUSE_S

    assert (of_the_name, of_all) == (None, Refusal.ACCOUNT)
    assert take(budgets, "b.example.de") is None


def test_without_a_budget_of_domains_their_tenants_have_theirs() -> None:
    budgets = Budgets(per_domain=0, clock=Clock())
    budgets.restore([Hostname("a.example.eu")])
    budgets.put_back(Hostname("a.example.eu"))
    taken = [take(budgets, "a.example.eu") for _ in range(PER_TENANT + 1)]

    assert taken == [None] * PER_TENANT + [Refusal.TENANT]
    assert take(budgets, "a.example.eu", OTHER) is None
