"""Pytest plugin: which tests the branches of pure code are traced in.

A property runs a hundred times, and tracing doubles what each costs. So branches are traced in the examples
alone, which take the same branches in every run, and in the properties that are marked `branches`. These do so,
too: while branches are traced, they are not random.
"""

import pytest
from hypothesis import settings


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("cov_branch", default=False):
        return
    properties = {item: item.obj for item in items if isinstance(item, pytest.Function)}
    traced = set[object]()
    for item, test in properties.items():
        if not getattr(test, "is_hypothesis_test", False):
            continue
        if not item.get_closest_marker("branches"):
            item.add_marker("no_cover")
        elif test not in traced:
            traced.add(test)
            settings(derandomize=True)(test)
