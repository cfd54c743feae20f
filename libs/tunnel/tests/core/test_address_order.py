"""Order of addresses: families in turn, so that one that is broken costs little."""

from hypothesis import given
from hypothesis import strategies as st

from towonel.tunnel.core.address_order import MAX_ADDRESSES, interleave

SIX = [(f"2001:db8::{n}", 443, 0, 0) for n in range(3)]
FOUR = [(f"192.0.2.{n}", 443) for n in range(3)]


def test_families_take_turns_and_the_first_keeps_its_place() -> None:
    assert interleave([*SIX, *FOUR[:1]]) == [SIX[0], FOUR[0], SIX[1], SIX[2]]
    assert interleave([*FOUR[:2], *SIX[:1]]) == [FOUR[0], SIX[0], FOUR[1]]
    assert interleave([]) == []


@given(st.lists(st.sampled_from([*SIX, *FOUR])))
def test_each_address_is_tried_once(addresses: list[tuple[object, ...]]) -> None:
    found = interleave(addresses)

    assert len(found) == len(set(found))
    assert set(found) == set(addresses)


def test_no_more_addresses_are_tried_than_the_limit() -> None:
    many = [(f"192.0.2.{n}", 443) for n in range(100)]

    assert interleave(many) == many[:MAX_ADDRESSES]
