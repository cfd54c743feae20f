"""Compile the modules of the data plane by mypyc, into one unit: `make engine`.

pyproject.toml of the whole project lists them. They are compiled in a folder of their own, in which the packages
lie side by side, and then put where workers find them: see `towonel.relay.hop.modules`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from platforms import HERE, Platform

from towonel.relay.hop.modules import PACKAGE, digest_of
from towonel.relay.hop.use_modules import LIST, UNIT

ROOT = Path(__file__).resolve().parents[3]
LISTED: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "towonel"
]["compiled"]
GROUP = UNIT.removesuffix("__mypyc")
BUILD = "--in-this-folder"  # for the process that compiles
WHOLE = 2  # the level of -O from which all is one program; below, each module is a file of its own


def find_sources() -> list[Path]:
    """Return the files that are compiled."""
    found = {path for folder in LISTED["folders"] for path in (ROOT / folder).rglob("*.py")}
    found -= {ROOT / path for path in LISTED["interpreted"]}
    found |= {ROOT / path for path in LISTED["modules"]}
    return sorted(path for path in found if path.name != "__init__.py")


def find_package_path(source: Path) -> Path:
    """Return where a file is below the folder that it is imported from."""
    return source.relative_to(
        next(each for each in source.parents if each.name in {"src", "tests"})
    )


def name_module(source: Path) -> str:
    """Return the name that a file is imported by."""
    return ".".join(find_package_path(source).with_suffix("").parts)


def compile_into(
    folder: Path, more: Sequence[Path] = (), optimize: int = 2, platform: Platform = HERE
) -> None:
    """Put the compiled modules, and `more` that inherit from them, into a folder, in place of what it has.

    Raises:
        CalledProcessError: mypyc or the C compiler refused, and said why.
    """
    sources = [*find_sources(), *more]
    with tempfile.TemporaryDirectory() as place:
        build = Path(place)
        for packages in ROOT.glob("*/*/src"):
            ignored = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(packages, build, dirs_exist_ok=True, ignore=ignored)
        for source in more:
            copy = build / find_package_path(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(source, copy)
        files = [str(find_package_path(source)) for source in sources]
        command = ["env", *platform.variables, sys.executable, __file__]
        command += [BUILD, str(optimize), *files]
        subprocess.run(command, check=True, cwd=build)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in (UNIT, *map(name_module, sources)):
            made = build.joinpath(*name.split("."))
            shutil.move(f"{made}{platform.suffix}", folder / f"{name}{platform.suffix}")
    digests = {name_module(source): digest_of(source) for source in sources}
    (folder / LIST).write_text(json.dumps(digests, indent=1))


def build_here(optimize: str, files: list[str]) -> None:
    """Compile files of the current folder, each beside its source."""
    from mypyc.build import mypycify  # noqa: PLC0415 takes half a second
    from parallel_build import ParallelBuild  # noqa: PLC0415 of setuptools, too
    from setuptools import setup  # type: ignore[import-untyped] # noqa: PLC0415

    options = ["--namespace-packages", "--explicit-package-bases", "--follow-imports=silent"]
    extensions = mypycify(
        [*options, *files],
        opt_level=optimize,
        debug_level="0",
        multi_file=int(optimize) < WHOLE,
        group_name=GROUP,
    )
    arguments = ["--quiet", "build_ext", "--inplace"]
    commands = {"build_ext": ParallelBuild}
    setup(name=GROUP, packages=[], ext_modules=extensions, script_args=arguments, cmdclass=commands)


def main() -> None:
    """Compile, into the folder of installed packages if no other is named."""
    if sys.argv[1:2] == [BUILD]:
        build_here(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(sysconfig.get_path("purelib")) / PACKAGE,
        help="Folder that gets them. Default: %(default)s",
    )
    parser.add_argument(
        "--optimize", type=int, choices=range(4), default=2, help="As of the C compiler's -O."
    )
    arguments = parser.parse_args()
    print(f"compiling {len(find_sources())} modules, which takes a minute or two")
    compile_into(arguments.into, optimize=arguments.optimize)


if __name__ == "__main__":
    main()
