"""Use of limits that the processes of an edge share."""

from support.limits import share_limits

from towonel.edge.core.shared_use import LimitUse
from towonel.wire.ids import TenantId

ALICE, BOB = TenantId(b"a" * 32), TenantId(b"b" * 32)


def test_each_process_hears_once_what_others_have_used() -> None:
    one, two, three = (each.find(ALICE, "bandwidth") for each in share_limits(3))
    one.add(1000)
    two.add(30)

    assert (one.take_elsewhere(), two.take_elsewhere(), three.take_elsewhere()) == (30, 1000, 1030)
    assert (one.take_elsewhere(), three.take_elsewhere()) == (0, 0)


def test_what_was_before_is_no_use_of_now() -> None:
    one, two = share_limits(2)
    one.find(ALICE, "bandwidth").add(1000)

    assert two.find(ALICE, "bandwidth").take_elsewhere() == 0


def test_limits_and_tenants_have_places_of_their_own() -> None:
    one, two = share_limits(2)
    others = [two.find(BOB, "bandwidth"), two.find(ALICE, "connection_rate")]
    one.find(ALICE, "bandwidth").add(1000)

    assert [each.take_elsewhere() for each in others] == [0, 0]


def test_a_place_that_others_share_counts_no_use_twice() -> None:
    rows = [memoryview(bytearray(16)).cast("I") for _ in range(2)]
    ours, theirs = LimitUse(rows[0], rows[1:], (0, 1, 2)), LimitUse(rows[1], rows[:1], (0, 1, 3))

    theirs.add(9)

    assert ours.take_elsewhere() == 0  # of a key with another place


def test_numbers_begin_again_at_their_end() -> None:
    one, two = (each.find(ALICE, "bandwidth") for each in share_limits(2))
    heard = 0
    for _ in range(5):
        one.add(1_500_000_000)
        heard += two.take_elsewhere()

    assert heard == 5 * 1_500_000_000
