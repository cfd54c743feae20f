"""Pytest plugin: which tests run.

A test that takes a `database` is there for SQLite and for Postgres. It runs on one of them: a hash of
its name says which, so each run has half of the tests on either. Tests of SQL are marked
`both_databases` and run on both. Tests marked `soak` take long and are left out. With `--soak` all run.
"""

import re
import zlib

import pytest

DIALECTS = ("sqlite", "postgres")
DIALECT = re.compile(r"(?<=[\[-])(?:sqlite|postgres)(?=[\]-])")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run the long tests, too, and both databases"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    if config.getoption("soak"):
        return
    names = {item.nodeid for item in items}
    dropped = {it for it in items if it.get_closest_marker("soak") or _is_elsewhere(it, names)}
    config.hook.pytest_deselected(items=[*dropped])
    items[:] = [item for item in items if item not in dropped]


def _turn(item: pytest.Item) -> tuple[bool, ...]:
    """Return the key of the order: first what waits longest, then what one process runs alone."""
    return tuple(item.get_closest_marker(name) is None for name in ("processes", "xdist_group"))


def _is_elsewhere(item: pytest.Item, names: set[str]) -> bool:
    """Return whether a test runs on the other database; one asked for by its full name runs."""
    found = DIALECT.search(item.nodeid)
    if found is None or item.get_closest_marker("both_databases"):
        return False
    chosen = DIALECTS[zlib.crc32(DIALECT.sub("", item.nodeid).encode()) % 2]
    return found[0] != chosen and DIALECT.sub(chosen, item.nodeid) in names
