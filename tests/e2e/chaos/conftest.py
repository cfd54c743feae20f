"""Fixtures of the bad networks, each process of whose tests has a network namespace of its own; and their table."""

import io

import pytest
from rich.console import Console
from support.chaos.namespaces import enter_new, find_missing
from support.chaos.rows import Row, make_table


def pytest_sessionstart() -> None:
    """Say in one line why nothing can be tried here, where that is so."""
    if missing := find_missing():
        pytest.exit(missing, returncode=1)


@pytest.fixture(scope="session", autouse=True)
def public() -> None:
    """Move this process' thread, and what it starts, to where hub and edge are."""
    enter_new()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the scenarios that came to their end."""
    rows: list[Row] = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "chaos"
    ]
    output = io.StringIO()
    Console(file=output, width=240).print(make_table(rows))
    terminalreporter.write_line(output.getvalue())
