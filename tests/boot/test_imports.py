"""Imports of edge and agent: what neither needs for its work takes no memory in them."""

import subprocess
import sys

import pytest

UNUSED = {"fastapi", "opentelemetry", "redis", "sqlalchemy", "typer", "httpx._main", "rich"}

SCRIPT = """
import contextlib, sys
from towonel.{name}.__main__ import main
with contextlib.suppress(SystemExit):
    main()
import towonel.{name}.app
print(*(name for name, module in sys.modules.items() if module))
"""


@pytest.mark.parametrize("name", ["edge", "agent"])
def test_a_program_imports_nothing_that_it_has_no_use_for(name: str) -> None:
    command = (sys.executable, "-c", SCRIPT.format(name=name), "--version")
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert "aioquic" in imported
    assert UNUSED & {*imported} == set()
