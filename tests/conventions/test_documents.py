"""Documents say what the code does."""

import ast
import re

import pytest
from conventions.generated import PROCESSES, documents
from conventions.tree import ROOT, SOURCES, parse

from towonel.runtime.settings import variables


def test_generated_parts_of_the_documents_are_up_to_date() -> None:
    """Prevents a table that tells of last month's code: run `make docs`."""
    stale = [path.name for path, wanted in documents().items() if path.read_text() != wanted]

    assert stale == []


def test_every_setting_is_described_and_keeps_the_naming() -> None:
    """Prevents a variable that only its author can use."""
    found = [variable for cls in PROCESSES.values() for variable in variables(cls)]

    assert len(found) > 30
    assert [v.name for v in found if len(v.description) < 20] == []
    # Those of OpenTelemetry are told by its standard.
    assert [v.name for v in found if not v.name.startswith(("TOWONEL_", "OTEL_"))] == []


LOGGING = {
    "debug",
    "info",
    "warning",
    "error",
    "exception",
    "write",
}  # `write` is one of them, chosen


def log_events() -> set[str]:
    """Return every string that a logger is handed as its event, also by way of a value `event`."""
    values = [
        value for path in SOURCES for node in ast.walk(parse(path)) for value in event_values(node)
    ]
    return {
        text.value
        for value in values
        for text in ast.walk(value)
        if isinstance(text, ast.Constant)
        and isinstance(text.value, str)
        and re.fullmatch(r"[a-z_]+\.[a-z]+(?:_[a-z]+)*", text.value)
    }


def event_values(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[first, *_]) if (
            name in LOGGING
        ):
            return [first]
        case ast.Assign(targets=[ast.Name(id="event")], value=value):
            return [value]
        case _:
            return []


def test_every_log_event_is_in_the_table_of_operations_and_none_is_that_nobody_logs() -> None:
    """Prevents an event that an operator meets in a log and finds nowhere."""
    text = (ROOT / "docs/operations.md").read_text()
    _, _, section = text.partition("## Log events")
    rows = re.findall(r"^\| (`[^|]+) \|", section.partition("\n## ")[0], re.MULTILINE)
    listed = {event for row in rows for event in re.findall(r"`([^`]+)`", row)}

    assert len(listed) > 50
    assert log_events() - listed == set()
    assert listed - log_events() == set()


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("docs/security.md", "## Bounds"),
        ("docs/operations.md", "## When something is away"),
    ],
)
def test_every_row_of_a_table_of_promises_names_the_test_that_keeps_it(
    document: str, heading: str
) -> None:
    """Prevents a bound, or an answer to an outage, that is only written down."""
    _, _, section = (ROOT / document).read_text().partition(f"\n{heading}\n")
    lines = section.partition("\n## ")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:]

    assert len(rows) > 0
    assert [row for row in rows if not names_real_tests(row[-1])] == []


def names_real_tests(cell: str) -> bool:
    """Whether a cell names tests as `path::name`, and each of them is there."""
    named = re.findall(r"`([^`]+\.py)::(test_\w+)`", cell)
    return bool(named) and all(
        (ROOT / path).is_file() and f"def {name}(" in (ROOT / path).read_text()
        for path, name in named
    )
