"""Imports of edge and agent: what neither needs for its work takes no memory in them."""

import subprocess
import sys

import pytest

UNUSED = {"fastapi", "opentelemetry", "redis", "sqlalchemy", "typer", "httpx._main"}


@pytest.mark.parametrize("name", ["edge", "agent"])
def test_a_program_imports_nothing_that_it_has_no_use_for(name: str) -> None:
    script = f"import sys, towonel.{name}.app, towonel.{name}.cli\nprint(*(n for n, m in sys.modules.items() if m))"
    command = (sys.executable, "-c", script)
    imported = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert "aioquic" in imported
    assert UNUSED & {*imported} == set()
