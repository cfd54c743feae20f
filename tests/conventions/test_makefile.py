"""The Makefile does what the README says to somebody who has only begun."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A uv that is there, but finds no Python and cannot download one.
NO_PYTHON = """#!/bin/sh
[ "$1" = --version ] && exit 0
echo "error: one of many lines" >&2
echo "hint: and another" >&2
exit 2
"""

# A uv that installs everything; the engine can then be imported, or not.
UV = """#!/bin/sh
[ "$1" = run ] && exit {code}
exit 0
"""


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ("make", "--no-print-directory", *arguments),
        cwd=ROOT,
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("target", ["setup", "install", "demo", "test"])
def test_without_python_and_without_a_download_one_line_tells_what_is_missing(
    tmp_path: Path, target: str
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(NO_PYTHON)
    uv.chmod(0o755)
    said = make(target, PATH=f"{tmp_path}:{os.environ['PATH']}")

    ours = [line for line in said.stderr.splitlines() if not line.startswith("make: ")]
    assert said.returncode != 0
    assert len(ours) == 1
    assert ours[0].startswith("Python 3.13 is needed")


@pytest.mark.parametrize("target", ["setup", "install", "engine"])
@pytest.mark.parametrize(("code", "lines"), [(0, 0), (1, 1)])
def test_one_line_tells_that_the_engine_is_not_compiled_and_how_to_get_it(
    tmp_path: Path, target: str, code: int, lines: int
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(UV.format(code=code))
    uv.chmod(0o755)
    said = make(target, PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert (said.returncode, said.stdout) == (0, "")
    assert len(said.stderr.splitlines()) == lines
    assert ("C compiler" in said.stderr and "make engine" in said.stderr) == bool(lines)


def test_any_patch_of_the_python_that_is_needed_will_do() -> None:
    assert (ROOT / ".python-version").read_text() == "3.13\n"


def test_the_demo_needs_no_tools_of_developers_and_takes_ports() -> None:
    commands = make("--dry-run", "demo", "ONCE=1", "PORT_BASE=20000").stdout

    [sync] = [line for line in commands.splitlines() if " sync " in line]
    assert "--no-dev" in sync
    assert "--no-sync towonel demo --once --port-base 20000" in commands
