"""Hooks of the convention tests: one process reads the source tree, for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conventions.tree import parse

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group("conventions"))


@pytest.fixture(scope="package", autouse=True)
def trees() -> Iterator[None]:
    """Let go of the syntax trees once all have been read: they hold 200 MB."""
    yield
    parse.cache_clear()
