"""Compiled modules: used where they were made of the sources here, and else refused with what to do."""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from support.hops import compiled

from towonel.relay.hop import modules
from towonel.relay.hop.choice import Engine
from towonel.relay.hop.modules import PACKAGE, CompiledModules, choose_modules, digest_of
from towonel.relay.hop.use_modules import LIST, UNIT, file_of

pytestmark = pytest.mark.interpreted
NAME = "towonel.relay.pipes"
SOURCE = Path(modules.__file__).parents[1] / "pipes.py"
ELSEWHERE = "towonel.nowhere.worker"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
# A module of the hop stands for one that mypyc made: what imports it is the same.
HOP = "towonel.relay.hop._compiled"
USE = f"""
import sys
from towonel.relay.hop.use_modules import use_for_worker
use_for_worker(sys.argv[1:])
import {HOP} as found, towonel.relay.pipes as other
print(found.__file__, other.__file__)
"""
type Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a folder of modules beside the packages."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / PACKAGE

    def install(**digests: str) -> Path:
        folder.mkdir()
        (folder / LIST).write_text(json.dumps(digests))
        for name in (UNIT, *digests):
            file_of(folder, name).touch()
        return folder

    return install


def test_modules_of_the_sources_here_are_used_and_programs_that_are_not_here_do_not_matter(
    install: Install,
) -> None:
    folder = install(**{NAME: digest_of(SOURCE), ELSEWHERE: "another"})

    found = choose_modules(Engine.COMPILED)

    assert (found, found.count) == (CompiledModules(folder), 2)
    assert choose_modules(Engine.PYTHON) == CompiledModules()


def test_where_nothing_is_compiled_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)

    found = choose_modules(Engine.COMPILED)

    assert (found, found.count) == (CompiledModules(), 0)


def test_modules_of_another_source_are_refused(install: Install) -> None:
    install(**{NAME: digest_of(SOURCE).upper()})

    found = choose_modules(Engine.COMPILED)

    assert found.folder is None
    assert found.problem == f"{NAME} was compiled of another source: run make engine"


@pytest.mark.parametrize("name", [UNIT, NAME])
def test_modules_for_another_python_are_refused(install: Install, name: str) -> None:
    file_of(install(**{NAME: digest_of(SOURCE)}), name).unlink()

    assert (
        choose_modules(Engine.COMPILED).problem
        == f"{name} is not compiled for this Python: run make engine"
    )


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_folder_without_its_list_is_refused(install: Install, content: str | None) -> None:
    folder = install()
    (folder / LIST).unlink()
    if content is not None:
        (folder / LIST).write_text(content)

    assert choose_modules(Engine.COMPILED).problem.endswith(": run make engine")


def test_a_worker_imports_the_modules_that_control_names_and_all_others_as_ever(
    install: Install,
) -> None:
    folder = install(**{HOP: "digest"})
    file = file_of(folder, HOP)
    made = str(compiled.__file__)
    file.write_bytes(Path(made).read_bytes())

    for arguments, found in (((str(folder), "7"), file), (("7",), made)):
        run = subprocess.run(
            [sys.executable, "-c", USE, *arguments], check=True, capture_output=True, text=True
        )
        assert run.stdout.split() == [str(found), str(SOURCE)]
