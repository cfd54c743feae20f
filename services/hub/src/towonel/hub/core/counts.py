"""Counts that forget what has none left."""

from collections import Counter


def add[K](counts: Counter[K], key: K, by: int) -> None:
    """Add to the count of a key, and forget one that has nothing."""
    counts[key] += by
    if not counts[key]:
        del counts[key]
