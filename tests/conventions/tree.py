"""Source tree as the convention tests see it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(*patterns: str) -> list[Path]:
    """Return the files of the tree that match any of these patterns, sorted."""
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def relative(path: Path) -> str:
    """Return a path as it is written in messages."""
    return str(path.relative_to(ROOT))


SOURCES = files("libs/*/src/**/*.py", "services/*/src/**/*.py", "cli/src/**/*.py")
SUPPORT = files("tests/support/**/*.py", "bench/**/*.py")
DOCUMENTS = files(
    "*.md",
    "docs/**/*.md",
    ".env.example",
    "examples/*",
    "deploy/compose/*.yaml",
    "deploy/monitoring/*.yaml",
)
TESTS = files(
    "libs/*/tests/**/*.py", "services/*/tests/**/*.py", "cli/tests/**/*.py", "tests/**/*.py"
)
PURE = [
    path
    for path in files(
        "libs/wire/src/**/*.py",
        "libs/identity/src/**/*.py",
        "*/*/src/**/core/**/*.py",
        "libs/runtime/src/towonel/runtime/addresses.py",
    )
    if path.name != "__init__.py"
]
RUNTIME = files("libs/runtime/src/**/*.py")
HUB = files("services/hub/src/**/*.py")


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file, read once for all tests, which leave it as it is."""
    return ast.parse(path.read_text())
