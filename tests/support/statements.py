"""Pytest plugin: check that Postgres was sent every SQL statement that SQLite was sent.

Most tests run on one of the two databases (see `selection`). What fails here is reached by tests on
SQLite only: mark one of them `both_databases`. It takes a whole run, with `--compare-statements`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from support.selection import DIALECT

_PARAMETER = re.compile(r"%\(\w+\)s|\?")
# What the dialects write differently, or what depends on the count of values.
_DIFFERENCES = (
    (re.compile(r"::[A-Z]+"), ""),  # the type of a parameter
    (re.compile(r'"'), ""),
    (re.compile(r"%%"), "%"),
    (re.compile(r" IS DISTINCT FROM \?"), " IS NOT ?"),
    (re.compile(r" OFFSET \?| RETURNING .*"), ""),
    # An empty list, of SQLite and of Postgres.
    (re.compile(r"\(SELECT [^()]*(?:\([^()]*\))?[^()]* WHERE 1!=1\)"), "(?)"),
    (re.compile(r"\(NULL\) (?:AND|OR) \(1 !?= 1\)"), "(?)"),
    (re.compile(r"lower\((\w+\.\w+)\) LIKE '%' \|\| lower\(\?\)"), r"\1 ILIKE '%' || ?"),
    (re.compile(r" AND (\w+\.\w+) >= \? AND \1 < \?"), ""),  # the range of a prefix, for its index
    (re.compile(r"(\b\w+\.\w+) = 1\b"), r"\1"),
    (re.compile(r"(\b\w+\.\w+) = 0\b"), r"NOT \1"),
    (re.compile(r"\(\?(?:, \?)+\)"), "(?)"),
    (re.compile(r"(\(\?\))(?:, \(\?\))+"), r"\1"),
)
# What one of them has no word for; schemas, which the tests of migrations compare; and whole tables, which
# a backup reads in the schema that it finds: the oldest was of SQLite only.
_INCOMPARABLE = re.compile(
    r"PRAGMA|BEGIN|VACUUM|EXPLAIN|CREATE|ALTER|DROP|.*\bsqlite_|SELECT [\w., ]+ FROM \w+$"
)
_UPDATE = re.compile(r"(UPDATE \w+ SET) (\w+=\?(?:, \w+=\?)*) (WHERE .*)")


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
        self.add(connection.dialect.name, statement, self.test)

    def add(self, dialect: str, statement: str, test: str) -> None:
        before = self.sent[dialect].get(statement, "")
        if not DIALECT.search(before):
            self.sent[dialect][statement] = test

    def merge(self, others: Mapping[str, Mapping[str, str]]) -> None:
        """Add what another process saw; of two tests the one that is there for both databases stays."""
        for dialect, statements in others.items():
            for statement, test in statements.items():
                self.add(dialect, statement, test)

    def missing(self) -> dict[str, str]:
        """Return what SQLite was sent and Postgres was not, with a test that sent it.

        What a test sends that is there for SQLite alone does not count.
        """
        both = {form for statement in self.sent["postgresql"] for form in forms(statement)}
        return {
            form: test
            for statement, test in self.sent["sqlite"].items()
            for form in forms(statement)
            if DIALECT.search(test) and form not in both and not _INCOMPARABLE.match(form)
        }


def forms(statement: str) -> list[str]:
    """Return a statement as both dialects have it; an update once for each of its columns."""
    text = " ".join(_PARAMETER.sub("?", statement).split())
    for pattern, replacement in _DIFFERENCES:
        text = pattern.sub(replacement, text)
    if (update := _UPDATE.fullmatch(text)) is None:
        return [text]
    return [f"{update[1]} {column} {update[3]}" for column in update[2].split(", ")]


STATEMENTS = Statements()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compare-statements",
        action="store_true",
        help="fail if SQLite was sent an SQL statement that Postgres was not; for whole runs",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    STATEMENTS.test = item.nodeid


def pytest_sessionstart(session: pytest.Session) -> None:
    is_controller = session.config.getoption("tx") and not hasattr(session.config, "workerinput")
    if session.config.getoption("compare_statements") and not is_controller:
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
