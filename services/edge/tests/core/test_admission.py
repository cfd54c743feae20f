from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.edge.core.admission import Admission, AdmissionLimits, KeyedLimit, source_of
from towonel.wire.errors import Code, Denied, Unavailable
from towonel.wire.ids import TenantId

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)
HOME, OFFICE = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def test_one_client_too_many_is_overload_until_another_leaves() -> None:
    admission = Admission(AdmissionLimits(clients=2, per_source=9, per_tenant=9))
    first, _ = admission.take(), admission.take()

    with pytest.raises(Unavailable) as caught:
        admission.take()
    admission.release(first)

    assert caught.value.code is Code.OVERLOADED
    assert admission.clients == 1
    admission.take()
    assert admission.clients == 2


def test_a_source_has_its_own_limit() -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=9))
    first, second, third = (admission.take() for _ in range(3))
    admission.claim_source(first, HOME)
    admission.claim_source(second, OFFICE)

    with pytest.raises(Denied) as caught:
        admission.claim_source(third, HOME)
    admission.release(third)

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert "192.0.2.1" in caught.value.detail
    admission.release(first)
    admission.claim_source(admission.take(), HOME)


def test_a_tenant_has_its_own_limit() -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=9, per_tenant=1))
    first, second, third = (admission.take() for _ in range(3))
    admission.claim_tenant(first, ALICE)
    admission.claim_tenant(second, BOB)

    with pytest.raises(Denied) as caught:
        admission.claim_tenant(third, ALICE)

    assert caught.value.code is Code.LIMIT_EXCEEDED
    assert ALICE.hex() in caught.value.detail
    admission.release(first)
    admission.claim_tenant(third, ALICE)


def test_a_client_that_was_denied_gives_back_only_what_it_took() -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=1, per_tenant=1))
    first, second = admission.take(), admission.take()
    admission.claim_source(first, HOME)
    admission.claim_tenant(first, ALICE)
    with pytest.raises(Denied):
        admission.claim_source(second, HOME)

    admission.release(second)

    with pytest.raises(Denied):
        admission.claim_source(admission.take(), HOME)
    with pytest.raises(Denied):
        admission.claim_tenant(admission.take(), ALICE)


def test_a_ticket_counts_once_however_often_it_is_given_back() -> None:
    admission = Admission(AdmissionLimits(clients=9, per_source=9, per_tenant=9))
    ticket, _ = admission.take(), admission.take()
    admission.claim_source(ticket, HOME)

    admission.release(ticket)
    admission.release(ticket)

    assert admission.clients == 1


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ],
)
def test_an_ipv6_source_is_its_whole_64_bit_network(address: str, source: str) -> None:
    assert source_of(ip_address(address)) == source


@given(st.lists(st.sampled_from("abc")), st.integers(0, 5))
def test_places_never_exceed_their_limit_and_all_come_back(keys: list[str], limit: int) -> None:
    places = KeyedLimit[str](limit)
    taken = [key for key in keys if places.acquire(key)]

    assert all(places.count(key) == min(keys.count(key), limit) for key in keys)
    for key in taken:
        places.release(key)
    assert all(places.count(key) == 0 for key in keys)
    assert not places._taken
