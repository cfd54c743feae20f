"""Modules of the data plane that mypyc has compiled: control finds them, and its workers use them.

    towonel_compiled/     beside the packages, by `make engine`
      modules.json        names and digests
      NAME.SUFFIX         a module, or the unit that has the code of all

They are one unit: where one is of another source, none is used.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from towonel.relay.hop.choice import Engine
from towonel.relay.hop.use_modules import UNIT, file_of, read_list
from towonel.relay.supervisor import Start, exec_python

PACKAGE: Final = "towonel_compiled"


@dataclass(frozen=True)
class CompiledModules:
    """Compiled modules that workers are to use.

    Args:
        folder: where they are; None for the sources.
        problem: why those that there are cannot be used, and what to do; empty if nothing is wrong.
    """

    folder: Path | None = None
    problem: str = ""

    @property
    def count(self) -> int:
        """How many there are."""
        return 0 if self.folder is None else len(read_list(self.folder))

    def exec_worker(self, module: str) -> Start:
        """Return what starts the worker of a module by exec, which `use_for_worker` has them for."""
        return exec_python("-m", module, *([] if self.folder is None else [str(self.folder)]))


class StaleModulesError(Exception):
    """Error of modules that were compiled of other sources, or for another Python."""


def choose_modules(engine: Engine) -> CompiledModules:
    """Return the compiled modules of the engine that runs, as far as they can be used."""
    if engine is not Engine.COMPILED:
        return CompiledModules()
    try:
        return CompiledModules(find_folder())
    except StaleModulesError as error:
        return CompiledModules(problem=str(error))


def find_folder() -> Path | None:
    """Return the folder of modules that were compiled of the sources here; None where there is none.

    Raises:
        StaleModulesError: they were compiled of others; its text says which, and what to do.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    try:
        sources = read_list(folder)
    except (OSError, ValueError) as error:
        raise StaleModulesError(f"{folder}: {error}: run make engine") from None
    for name in (UNIT, *sources):
        if not file_of(folder, name).exists():
            raise StaleModulesError(f"{name} is not compiled for this Python: run make engine")
    for name, digest in sources.items():
        source = _find_source(name)
        if source is not None and digest_of(source) != digest:
            raise StaleModulesError(f"{name} was compiled of another source: run make engine")
    return folder


def digest_of(source: Path) -> str:
    """Return the SHA-256 of a source, in hex."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def _find_source(name: str) -> Path | None:
    """Return the source of a module; None of a program that is not installed here."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)
