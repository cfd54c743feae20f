"""Admission control: limits in total, for each source and each tenant, and their release."""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.admission import Admission, AdmissionLimits, KeyedLimit
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
HOME, OFFICE = ip_address("192.0.2.1"), ip_address("192.0.2.2")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Holds the clients that are here until the test's end."""
    with ExitStack() as stack:
        yield stack


def test_one_client_too_many_is_overload_until_another_leaves(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=2, per_source=9, per_tenant=9))
    stack.enter_context(admission.admit())
    with admission.admit():
        with pytest.raises(Unavailable) as caught:
            stack.enter_context(admission.admit())

        assert caught.value.code is Code.OVERLOADED

    assert admission.clients == 1
    stack.enter_context(admission.admit())
    assert admission.clients == 2


def test_a_source_has_its_own_limit(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=9))
    other = stack.enter_context(admission.admit())
    with admission.admit() as ticket:
        admission.claim_source(ticket, HOME)
        admission.claim_source(other, OFFICE)
        with pytest.raises(Denied) as caught, admission.admit() as second:
            admission.claim_source(second, HOME)

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert "192.0.2.1" in caught.value.detail
    admission.claim_source(stack.enter_context(admission.admit()), HOME)


def test_a_tenant_has_its_own_limit(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=9, per_tenant=1))
    second, third = (stack.enter_context(admission.admit()) for _ in range(2))
    with admission.admit() as first:
        admission.claim_tenant(first, ALICE)
        admission.claim_tenant(second, BOB)
        with pytest.raises(Denied) as caught:
            admission.claim_tenant(third, ALICE)

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert ALICE.hex() in caught.value.detail
    admission.claim_tenant(third, ALICE)


def test_a_client_that_was_denied_gives_back_only_what_it_took(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=1))
    first, later = (stack.enter_context(admission.admit()) for _ in range(2))
    admission.claim_source(first, HOME)
    admission.claim_tenant(first, ALICE)
    with pytest.raises(Denied), admission.admit() as second:
        admission.claim_source(second, HOME)

    with pytest.raises(Denied):
        admission.claim_source(later, HOME)
    with pytest.raises(Denied):
        admission.claim_tenant(later, ALICE)


@given(st.lists(st.sampled_from("abc")), st.integers(0, 5))
def test_a_count_never_exceeds_its_limit_and_falls_back_to_zero(
    keys: list[str], limit: int
) -> None:
    limited = KeyedLimit[str](limit)
    taken = [key for key in keys if limited.acquire(key)]

    assert all(limited.count(key) == min(keys.count(key), limit) for key in keys)
    for key in taken:
        limited.release(key)
    assert all(limited.count(key) == 0 for key in keys)
    assert not limited._counts
