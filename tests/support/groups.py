"""Pytest plugin: the tests of one `xdist_group` run in one process, and share its stack or what it has read.

xdist writes the group into the test's id, where pytest 9.2 no longer looks (issue 1386 of pytest-xdist):
each process would start a stack of its own, for a tenth of the run.
"""

import pytest
from _pytest.nodeid import NodeId


def is_grouping(config: pytest.Config) -> bool:
    """Return whether this process is one of those that xdist gives whole groups to."""
    return bool(getattr(config.option, "loadgroup", False))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        suffix = f"@{mark.args[0]}" if mark else ""
        if is_grouping(config) and not item.nodeid.endswith(suffix):
            item._id = NodeId.parse(item.nodeid + suffix)
