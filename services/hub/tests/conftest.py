"""Hooks of the hub's tests: what they collect, and what they load for it."""

from pathlib import Path

import pytest

CORE = Path(__file__).parent / "core"


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Load the fixtures of a hub, unless the tests are of pure code: these need not wait for its imports."""
    if not module_path.is_relative_to(CORE):
        parent.config.pluginmanager.import_plugin("support.hub_fixtures")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what takes seconds to collect and is deselected then."""
    is_long = collection_path.name == "test_schema_for_long.py"
    return True if is_long and not config.getoption("soak") else None
