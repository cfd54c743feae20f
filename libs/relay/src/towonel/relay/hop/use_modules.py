"""Use of compiled modules in a worker: they are imported in place of their sources."""

import json
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

LIST: Final = "modules.json"  # their names, each with the SHA-256 of the source that it was made of
UNIT: Final = "engine__mypyc"  # has the code of all, and is imported by them


def use_for_worker(arguments: Sequence[str]) -> None:
    """Use the modules that control named to a worker, if it did: `[FOLDER] CHANNEL`."""
    if len(arguments) > 1:
        use_modules(Path(arguments[0]))


def use_modules(folder: Path) -> None:
    """Import the modules of a folder in place of their sources, in this process, from now on."""
    files = {name: file_of(folder, name) for name in (UNIT, *read_list(folder))}
    sys.meta_path.insert(0, _Finder(files))


def file_of(folder: Path, name: str) -> Path:
    """Return the file of a compiled module."""
    return folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"


def read_list(folder: Path) -> dict[str, str]:
    """Return the names of modules, each with the SHA-256 of its source."""
    listed: dict[str, str] = json.loads((folder / LIST).read_bytes())
    return listed


class _Finder:
    """Finder of the import system."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a compiled module is; None for all others."""
        file = self._files.get(name)
        return None if file is None else spec_from_file_location(name, file)
