"""Pytest plugin: tests run with the engine of the data plane that mypyc has compiled into a folder.

It sees to it that nothing else is tested.
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from towonel.relay.hop.use_modules import use_modules

FOLDER = "TEST_COMPILED_MODULES"
if FOLDER in os.environ:  # before anything else imports them
    use_modules(Path(os.environ[FOLDER]))

from compile_modules import ROOT, find_sources, name_module  # noqa: E402

HELPER = Path(__file__).with_name("callback_handler.py")  # inherits from the engine
PLUGIN = "support.compiled_engine"


def run_tests(folder: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    """Run tests with the engine that was compiled into a folder."""
    paths_of_python = [str(ROOT / each) for each in ("tests", "libs/relay/tools")]
    environ = {FOLDER: str(folder), "PYTHONPATH": os.pathsep.join(paths_of_python)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", f"-p{PLUGIN}", "-mnot interpreted", "-q", *paths],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def pytest_configure() -> None:
    """Import all modules of the engine, which have to be the compiled ones."""
    for name in map(name_module, [*find_sources(), HELPER]):
        file = import_module(name).__file__
        assert file is not None
        assert file.endswith(".so"), f"{name} is not compiled: {file}"
