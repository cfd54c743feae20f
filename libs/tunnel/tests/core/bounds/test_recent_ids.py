"""Set of ids that were seen lately."""

from towonel.tunnel.core.bounds.recent_ids import RecentIds


def test_an_id_is_remembered_for_the_time_and_forgotten_after_twice_the_time() -> None:
    ids = RecentIds(keep_s=30, capacity=10, now=100)
    ids.add(b"a", 129)
    assert b"a" in ids
    ids.add(b"b", 131)
    assert b"a" in ids
    ids.add(b"c", 160.9)
    assert b"a" in ids
    ids.add(b"d", 161)

    assert b"a" not in ids
    assert b"b" in ids


def test_the_set_does_not_grow_beyond_twice_its_capacity() -> None:
    ids = RecentIds(keep_s=30, capacity=10, now=100)
    for number in range(100):
        ids.add(bytes([number]), 100)

    assert len(ids) <= 20
    assert bytes([99]) in ids
    assert bytes([90]) in ids
