"""Engine of the data plane, compiled by mypyc: pyproject.toml lists its modules.

It is compiled in a folder that gets a copy of all packages, and comes before them where that is the first of
the import path. As a plugin of pytest, this sees to it that nothing else is tested. Run as a program, it compiles
files in the current folder.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELPER = Path(__file__).with_name("callback_handler.py")  # inherits from the engine
LISTED: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "towonel"
]["compiled"]
PLUGIN = "support.compiled_engine"


def find_modules() -> list[Path]:
    """Return the files that are compiled."""
    found = {path for folder in LISTED["folders"] for path in (ROOT / folder).rglob("*.py")}
    found -= {ROOT / path for path in LISTED["interpreted"]}
    found |= {ROOT / path for path in LISTED["modules"]}
    return sorted(path for path in found if path.name != "__init__.py")


def find_package_path(path: Path) -> Path:
    """Return where a file is below the folder that it is imported from."""
    return path.relative_to(next(each for each in path.parents if each.name in {"src", "tests"}))


def name_module(path: Path) -> str:
    """Return the name that a file is imported by."""
    return ".".join(find_package_path(path).with_suffix("").parts)


def compile_into(folder: Path) -> None:
    """Compile the engine, in a process of its own."""
    for packages in ROOT.glob("*/*/src"):
        shutil.copytree(
            packages, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    helper = folder / find_package_path(HELPER)
    helper.parent.mkdir()
    shutil.copy(HELPER, helper)
    files = map(str, map(find_package_path, [*find_modules(), HELPER]))
    subprocess.run([sys.executable, __file__, *files], check=True, cwd=folder)


def run_tests(folder: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    """Run tests with the engine that was compiled into a folder."""
    options = [f"-opythonpath={folder} tests bench", f"-p{PLUGIN}", "-mnot interpreted", "-q"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def pytest_configure() -> None:
    """Import all modules of the engine, which have to be the compiled ones."""
    for name in map(name_module, [*find_modules(), HELPER]):
        file = import_module(name).__file__
        assert file is not None
        assert file.endswith(".so"), f"{name} is not compiled: {file}"


def main(files: list[str]) -> None:
    """Compile files, without optimization, which takes longer than it saves."""
    from mypyc.build import mypycify  # noqa: PLC0415 takes half a second
    from setuptools import setup  # type: ignore[import-untyped] # noqa: PLC0415

    options = ["--namespace-packages", "--explicit-package-bases", "--follow-imports=silent"]
    extensions = mypycify([*options, *files], opt_level="0", debug_level="0", group_name="engine")
    arguments = ["--quiet", "build_ext", "--inplace"]
    setup(name="engine", packages=[], ext_modules=extensions, script_args=arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
