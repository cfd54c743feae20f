"""Rules of the design that a reader could otherwise only hope for."""

import ast
import re
from pathlib import Path

from conventions.tree import HUB, PURE, RUNTIME, SOURCES, TESTS, parse, relative

DOMAIN_WORDS = re.compile(r"\b(tunnel|agent|edge|hub|tenant|hostname|route)s?\b", re.IGNORECASE)


def test_the_runtime_knows_no_word_of_ours() -> None:
    """Prevents `runtime` from becoming the drawer that every service reaches into."""
    found = [
        f"{path.name}: {match.group()}"
        for path in RUNTIME
        for match in DOMAIN_WORDS.finditer(path.read_text())
    ]

    assert len(RUNTIME) > 5
    assert found == []


def member(path: Path) -> Path:
    """The folder of the workspace member that a source file belongs to."""
    return next(parent for parent in path.parents if parent.name == "src").parent


def test_every_pure_module_has_its_test_file() -> None:
    """Prevents a rule of the wire from living without the test that freezes it."""
    without = [
        relative(path)
        for path in PURE
        if not list(member(path).glob(f"tests/**/test_{path.stem}*.py"))
        and path.stem not in {"ids", "events"}  # names for bytes, and frozen data: no rule in them
    ]

    assert len(PURE) > 15
    assert without == []


def test_pure_code_has_no_coroutine() -> None:
    """Prevents waiting inside a decision: pure code must run the same on any clock."""
    waiting = [
        f"{relative(path)}:{node.lineno}"
        for path in PURE
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
    ]

    assert waiting == []


def test_only_transactions_commit() -> None:
    """Prevents half of a request from being written: one boundary decides what is saved."""
    committing = [relative(path) for path in HUB if re.search(r"\.commit\(", path.read_text())]

    assert committing == ["services/hub/src/towonel/hub/store/db/transactions.py"]


def test_no_test_sleeps() -> None:
    """Prevents tests that pass by luck of timing."""
    sleeping = [
        relative(path)
        for path in TESTS
        for match in re.finditer(r"\bsleep\((?P<s>[0-9.]+)", path.read_text())
        if float(match["s"]) > 0.05
    ]

    assert sleeping == []


def test_no_log_line_overwrites_what_every_line_has() -> None:
    """Prevents a line whose `service` is not the process, as collectors of logs take it to be."""
    overwriting = [
        f"{relative(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"debug", "info", "warning", "error", "exception"}
        if {keyword.arg for keyword in node.keywords} & {"service", "event", "level", "timestamp"}
    ]

    assert overwriting == []
