"""Rules of the design that a reader could otherwise only hope for."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNTIME = sorted((ROOT / "libs/runtime/src").glob("**/*.py"))
DOMAIN_WORDS = re.compile(r"\b(tunnel|agent|edge|hub|tenant|hostname|route)s?\b", re.IGNORECASE)
PURE = [
    path
    for pattern in (
        "libs/wire/src/**/*.py",
        "libs/identity/src/**/*.py",
        "services/*/src/**/core/**/*.py",
        "libs/runtime/src/towonel/runtime/addresses.py",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.name != "__init__.py"
]


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
        str(path.relative_to(ROOT))
        for path in PURE
        if not list(member(path).glob(f"tests/**/test_{path.stem}*.py"))
        and path.stem != "ids"  # four names for bytes
    ]

    assert len(PURE) > 15
    assert without == []


def test_pure_code_has_no_coroutine() -> None:
    """Prevents waiting inside a decision: pure code must run the same on any clock."""
    waiting = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PURE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
    ]

    assert waiting == []


def test_only_transactions_commit() -> None:
    """Prevents half of a request from being written: one boundary decides what is saved."""
    hub = ROOT / "services/hub/src"
    committing = [
        str(path.relative_to(hub))
        for path in sorted(hub.glob("**/*.py"))
        if re.search(r"\.commit\(", path.read_text())
    ]

    assert committing == ["towonel/hub/store/db/transactions.py"]


def test_no_test_sleeps() -> None:
    """Prevents tests that pass by luck of timing."""
    tests = [
        *ROOT.glob("*/*/tests/**/*.py"),
        *ROOT.glob("cli/tests/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
    ]
    sleeping = [
        str(path.relative_to(ROOT))
        for path in tests
        for match in re.finditer(r"\bsleep\((?P<s>[0-9.]+)", path.read_text())
        if float(match["s"]) > 0.05
    ]

    assert sleeping == []
