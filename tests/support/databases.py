"""Pytest plugin: which database a test runs on, and a check that both were asked the same.

A test that takes a `database` runs on SQLite or on Postgres: a hash of its name says on which, so each
run has half of them on either. Tests of SQL are marked `both_databases`; with `--both-databases` all
tests run on both.

With `--compare-statements` every SQL statement that SQLite was sent must have been sent to Postgres,
too. What fails there is reached by tests of SQLite only: mark one of them `both_databases`.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

DIALECTS = ("sqlite", "postgres")
_DIALECT = re.compile(r"(?<=[\[-])(?:sqlite|postgres)(?=[\]-])")
_PARAMETER = re.compile(r"%\(\w+\)s|\?")
_LISTS = (
    (re.compile(r"::[A-Z ]+(?:\(\d*\))?"), ""),  # the type of a parameter
    (re.compile(r"\(\?(?:, \?)+\)"), "(?)"),  # as many as there are values
    (re.compile(r"(\(\?\))(?:, \(\?\))+"), r"\1"),
)
# What one of the two has no word for.
_ONLY_SQLITE = re.compile(r"PRAGMA|BEGIN|VACUUM|.*\bsqlite_")


class Statements:
    """Set of the SQL statements that each dialect was sent, and the test that sent each first."""

    def __init__(self) -> None:
        self.sent: dict[str, dict[str, str]] = defaultdict(dict)
        self.test = ""

    def __call__(
        self,
        connection: Any,
        _cursor: object,
        statement: str,
        _parameters: object,
        _context: object,
        _many: object,
    ) -> None:
        self.sent[connection.dialect.name].setdefault(statement, self.test)

    def merge(self, others: Mapping[str, Mapping[str, str]]) -> None:
        for dialect, statements in others.items():
            self.sent[dialect] = {**statements, **self.sent[dialect]}

    def missing(self) -> dict[str, str]:
        """Return what SQLite was sent and Postgres was not, with a test that sent it."""
        both = set(map(normalize, self.sent["postgresql"]))
        return {
            text: test
            for statement, test in self.sent["sqlite"].items()
            if (text := normalize(statement)) not in both and not _ONLY_SQLITE.match(text)
        }


def normalize(statement: str) -> str:
    """Return a statement as both dialects have it: without types, counts and line breaks."""
    text = " ".join(_PARAMETER.sub("?", statement).split())
    for pattern, replacement in _LISTS:
        text = pattern.sub(replacement, text)
    return text


STATEMENTS = Statements()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("databases")
    group.addoption("--both-databases", action="store_true", help="run all tests on both")
    group.addoption(
        "--compare-statements",
        action="store_true",
        help="fail if SQLite was sent a statement that Postgres was not; for whole runs",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out one of two databases, where a test is there for both and not marked."""
    if config.getoption("both_databases"):
        return
    names = {item.nodeid for item in items}
    dropped = [item for item in items if _is_elsewhere(item, names)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in set(dropped)]


def _is_elsewhere(item: pytest.Item, names: set[str]) -> bool:
    found = _DIALECT.search(item.nodeid)
    if found is None or item.get_closest_marker("both_databases"):
        return False
    neutral = _DIALECT.sub("", item.nodeid)
    chosen = DIALECTS[zlib.crc32(neutral.encode()) % 2]
    sibling = _DIALECT.sub(chosen, item.nodeid)
    return found[0] != chosen and sibling in names


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    STATEMENTS.test = item.nodeid


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("compare_statements"):
        # Imported late: tests of pure code need none of it.
        from sqlalchemy import Engine, event  # noqa: PLC0415

        event.listen(Engine, "before_cursor_execute", STATEMENTS)


def pytest_testnodedown(node: Any) -> None:
    """Take what a worker of xdist saw."""
    STATEMENTS.merge(getattr(node, "workeroutput", {}).get("statements", {}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("compare_statements"):
        return
    worker = getattr(session.config, "workeroutput", None)
    if worker is not None:
        worker["statements"] = {name: dict(sent) for name, sent in STATEMENTS.sent.items()}
    elif STATEMENTS.missing() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = STATEMENTS.missing()
    if terminalreporter.config.getoption("compare_statements") and missing:
        terminalreporter.section("statements that only SQLite was sent", red=True)
        for text, test in sorted(missing.items()):
            terminalreporter.write_line(f"{text}\n  {test}")
