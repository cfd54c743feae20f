"""Ctrl-C while a program is being imported: no traceback, and the exit code of an interrupt."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

# Sends itself the signal where the first library of others would be imported.
PROGRAM = """
import importlib, os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name in {"typer", "pydantic", "structlog", "sqlalchemy"}:
            os.kill(os.getpid(), signal.SIGINT)

entry = importlib.import_module(sys.argv.pop(1))
sys.meta_path.insert(0, Interrupter())
entry.main()
"""


def interrupt(program: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", PROGRAM, f"towonel.{program}.__main__", "--version")
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("program", ["cli", "hub", "edge", "agent"])
def test_an_interrupt_during_the_imports_ends_a_program_without_a_traceback(program: str) -> None:
    ended = interrupt(program)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
