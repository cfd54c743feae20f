"""Pytest plugin: the CPU seconds of the run, those of its children included, below its durations."""

import resource
from multiprocessing import forkserver

import pytest


def cpu_seconds(who: int) -> float:
    """Return the user and system time of this process, or of its children that have ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def pytest_sessionfinish() -> None:
    """Wait for the fork server: only then its CPU time, and that of its children, is counted."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    own, children = map(cpu_seconds, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    terminalreporter.write_line(f"CPU: {own + children:.1f} s, {children:.1f} s of it in children")
