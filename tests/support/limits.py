"""Limits of tenants in one process of an edge, for tests."""

from array import array

from towonel.edge.core.shared_use import COLUMNS, SharedLimits


def share_limits(processes: int = 1) -> list[SharedLimits]:
    """Return the limits as each of some processes has them."""
    rows = [memoryview(array("I", bytes(4 * COLUMNS))) for _ in range(processes)]
    return [SharedLimits(rows, own, b"secret") for own in range(processes)]
