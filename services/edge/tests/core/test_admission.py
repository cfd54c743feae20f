"""Admission control: limits in total, for each source and each tenant, and their release."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.admission import Admission, AdmissionLimits, KeyedLimit, Ticket
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKey, ServiceKind

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
HOME, OFFICE = "192.0.2.1", "192.0.2.2"


@contextmanager
def counted_in(admission: Admission) -> Generator[Ticket]:
    """Count a client for the time of the block."""
    ticket = admission.admit()
    try:
        yield ticket
    finally:
        admission.release(ticket)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Holds the clients that are here until the test's end."""
    with ExitStack() as stack:
        yield stack


def test_one_client_too_many_is_overload_until_another_leaves(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=2, per_source=9, per_tenant=9))
    stack.enter_context(counted_in(admission))
    with counted_in(admission):
        with pytest.raises(Unavailable) as caught:
            stack.enter_context(counted_in(admission))

        assert caught.value.code is Code.OVERLOADED

    assert admission.clients == 1
    stack.enter_context(counted_in(admission))
    assert admission.clients == 2


def test_a_source_has_its_own_limit(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=9))
    other = stack.enter_context(counted_in(admission))
    with counted_in(admission) as ticket:
        admission.claim_source(ticket, HOME)
        admission.claim_source(other, OFFICE)
        with pytest.raises(Denied) as caught, counted_in(admission) as second:
            admission.claim_source(second, HOME)

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert "192.0.2.1" in caught.value.detail
    admission.claim_source(stack.enter_context(counted_in(admission)), HOME)


def test_a_tenant_has_its_own_limit(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=9, per_tenant=1))
    second, third = (stack.enter_context(counted_in(admission)) for _ in range(2))
    with counted_in(admission) as first:
        for ticket in (first, second, third):
            admission.claim_source(ticket, HOME)
        admission.claim_tenant(first, ALICE, {None: 9})
        admission.claim_tenant(second, BOB, {None: 9})
        with pytest.raises(Denied) as caught:
            admission.claim_tenant(third, ALICE, {None: 9})

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert ALICE.hex() in caught.value.detail
    admission.claim_tenant(third, ALICE, {None: 9})


@pytest.mark.parametrize(
    ("own", "admitted", "code"),
    [
        (1, 1, Code.TOO_MANY_CONNECTIONS),
        (0, 0, Code.TOO_MANY_CONNECTIONS),
        (2, 2, Code.LIMIT_EXCEEDED),
        (9, 2, Code.LIMIT_EXCEEDED),
        (None, 2, Code.LIMIT_EXCEEDED),
    ],
)
def test_a_tenants_own_limit_holds_below_that_of_the_edge(
    stack: ExitStack, own: int | None, admitted: int, code: Code
) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=9, per_tenant=2))
    tickets = [stack.enter_context(counted_in(admission)) for _ in range(admitted + 1)]
    for ticket in tickets:
        admission.claim_source(ticket, HOME)
    for ticket in tickets[:-1]:
        admission.claim_tenant(ticket, ALICE, {None: 9}, own)
    with pytest.raises(Denied) as caught:
        admission.claim_tenant(tickets[-1], ALICE, {None: 9}, own)

    assert caught.value.code is code


def test_a_client_that_was_denied_gives_back_only_what_it_took(stack: ExitStack) -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=1))
    first, later = (stack.enter_context(counted_in(admission)) for _ in range(2))
    admission.claim_source(first, HOME)
    admission.claim_tenant(first, ALICE, {None: 9})
    with pytest.raises(Denied), counted_in(admission) as second:
        admission.claim_source(second, HOME)

    with pytest.raises(Denied):
        admission.claim_source(later, HOME)
    with pytest.raises(Denied):
        admission.claim_tenant(later, ALICE, {None: 9})


def sharing(share: float = 0.25, clients: int = 99) -> Admission:
    return Admission(AdmissionLimits(clients, 99, 40, share))


def fill(
    admission: Admission,
    stack: ExitStack,
    source: str,
    tenant: TenantId,
    places: int | dict[ServiceKey | None, int],
) -> int:
    """Admit clients until one is denied, and return how many there were."""
    if isinstance(places, int):
        places = {None: places}
    for admitted in range(99):
        ticket = stack.enter_context(counted_in(admission))
        admission.claim_source(ticket, source)
        try:
            admission.claim_tenant(ticket, tenant, places)
        except Denied as denied:
            assert denied.code is Code.LIMIT_EXCEEDED
            return admitted
    return 99


def test_a_source_gets_a_share_of_a_tenants_places_and_others_get_theirs(stack: ExitStack) -> None:
    admission = sharing()

    assert fill(admission, stack, HOME, ALICE, places=16) == 4
    assert fill(admission, stack, OFFICE, ALICE, places=16) == 4
    assert fill(admission, stack, HOME, BOB, places=16) == 4


@pytest.mark.parametrize(
    ("share", "places", "admitted"),
    [(0.25, 2, 1), (0.5, 16, 8), (1.0, 16, 16), (0.25, 4_000, 10), (0.25, 0, 10)],
    ids=["one at least", "half", "all", "of the tenant's limit", "without an agent"],
)
def test_a_share_is_of_the_places_there_are(
    stack: ExitStack, share: float, places: int, admitted: int
) -> None:
    assert fill(sharing(share), stack, HOME, ALICE, places) == admitted


def test_a_source_gets_a_share_of_each_service_and_of_all_together(stack: ExitStack) -> None:
    admission = sharing()
    busy, quiet, third = (ServiceKey(ServiceKind.HTTPS, f"{name}.eu") for name in "abc")

    assert fill(admission, stack, HOME, ALICE, {None: 40, busy: 24}) == 6
    assert fill(admission, stack, HOME, ALICE, {None: 40, quiet: 4}) == 1
    assert fill(admission, stack, HOME, ALICE, {None: 40, third: 24}) == 1
    assert fill(admission, stack, OFFICE, ALICE, {None: 40, quiet: 4}) == 1


def test_places_that_are_given_back_can_be_taken_again(stack: ExitStack) -> None:
    admission = sharing()
    with ExitStack() as first:
        fill(admission, first, HOME, ALICE, places=16)

    assert not admission._shares._counts
    assert fill(admission, stack, HOME, ALICE, places=16) == 4


def test_a_source_gets_a_share_of_all_places(stack: ExitStack) -> None:
    admission = sharing(clients=8)
    for _ in range(2):
        admission.claim_source(stack.enter_context(counted_in(admission)), HOME)

    with pytest.raises(Denied):
        admission.claim_source(stack.enter_context(counted_in(admission)), HOME)
    admission.claim_source(stack.enter_context(counted_in(admission)), OFFICE)


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
