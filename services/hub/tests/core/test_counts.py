"""Counts that forget what has none left."""

from collections import Counter

from towonel.hub.core import counts


def test_what_has_none_left_is_forgotten() -> None:
    found = Counter[str]()
    counts.add(found, "a", 2)
    counts.add(found, "b", 1)
    counts.add(found, "a", -2)

    assert found == {"b": 1}
    assert [*found] == ["b"]
