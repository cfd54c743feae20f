"""Pytest plugin: which tests the branches of pure code are traced in.

A property runs a hundred times, and tracing doubles what each costs. So branches are traced in the examples
alone, which take the same branches in every run, and in the properties that are marked `branches`.
"""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("cov_branch", default=False):
        return
    for item in items:
        test = getattr(item, "obj", None)
        is_property = getattr(test, "is_hypothesis_test", False)
        if is_property and not item.get_closest_marker("branches"):
            item.add_marker("no_cover")
