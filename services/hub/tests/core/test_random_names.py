"""Random names."""

from towonel.hub.core.random_names import random_name


def test_names_are_two_words_and_every_draw_counts() -> None:
    names = {random_name(lambda n, i=i: i % n) for i in range(32)}  # type: ignore[misc]

    assert len(names) == 32
    assert all(name.count("-") == 1 and name.islower() for name in names)
