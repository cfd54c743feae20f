"""Wheels of all packages: what they have inside, and programs that are installed from them."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from build_wheels import compile_engine
from compile_modules import find_sources
from platforms import MACHINES
from support import plain_http
from support.ports import free_port
from support.programs import OwnProcess, ProcessRunner
from support.stack import Node, Stack, service
from support.wheels import ROOT, Environment, build_wheels

from towonel.relay.hop.choice import Engine
from towonel.relay.hop.use_modules import UNIT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800), pytest.mark.xdist_group("wheels")]
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
PACKAGES = [*(path.parent.name for path in ROOT.glob("*/*/pyproject.toml")), "cli"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


def find_compiled(wheels: Path, machine: str) -> Path:
    [path] = wheels.glob(f"towonel_relay-*-cp313-cp313-manylinux_2_17_{machine}.whl")
    return path


def read_modules(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {each: archive.read(each) for each in archive.namelist() if each.endswith(".so")}


def test_every_package_has_a_pure_wheel_and_the_engine_one_for_each_machine(wheels: Path) -> None:
    found = sorted(path.name for path in wheels.glob("*.whl"))
    pure = [name for name in found if name.endswith("-py3-none-any.whl")]

    assert [name.split("-")[0] for name in pure] == sorted(f"towonel_{each}" for each in PACKAGES)
    assert len(found) == len(pure) + len(MACHINES)
    assert [path.name.split("-")[0] for path in wheels.glob("*.tar.gz")] == ["towonel_relay"]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_wheel_has_the_hop_and_all_modules_compiled_for_its_machine(
    wheels: Path, machine: str
) -> None:
    modules = read_modules(find_compiled(wheels, machine))

    assert len(modules) == len(find_sources()) + 2  # the unit and the hop
    assert {int.from_bytes(each[18:20], "little") for each in modules.values()} == {
        ELF_MACHINES[machine]
    }
    assert [name for name in modules if not name.endswith(f"-{machine}-linux-gnu.so")] == []


def test_the_same_sources_are_compiled_to_the_same_bytes(wheels: Path, tmp_path: Path) -> None:
    once_more = compile_engine(tmp_path, "x86_64")
    modules = read_modules(find_compiled(wheels, "x86_64"))

    assert [name for name, data in modules.items() if once_more[name] != data] == []


async def check_what_runs(node: Node[Any], engine: Engine, name: str) -> None:
    assert isinstance(node.program, OwnProcess)
    about: Any = (await plain_http.get(node.health_port, "/version")).json()
    lines = map(json.loads, node.program.log().splitlines())
    [started] = [line for line in lines if line["event"] == f"{name}.started"]
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in node.program.workers()]

    assert about["engine"] == started["engine"] == engine.value
    assert started["modules"] == (len(find_sources()) if engine is Engine.COMPILED else 0)
    assert [UNIT in each for each in maps] == [engine is Engine.COMPILED]


@pytest.mark.parametrize("engine", [Engine.COMPILED, Engine.PYTHON])
async def test_without_a_compiler_the_wheels_that_fit_have_the_engine_compiled_and_pure_ones_run_too(
    wheels: Path, tmp_path: Path, engine: Engine
) -> None:
    if engine is Engine.PYTHON:
        wheels = shutil.copytree(wheels, tmp_path / "pure", ignore=shutil.ignore_patterns("*-cp*"))
    environment = Environment(tmp_path / "environment", wheels)
    runner = ProcessRunner(tmp_path, environment.execute)
    try:
        stack = Stack(runner, tmp_path)
        await stack.start_hub()
        edge = await stack.start_edge()
        token = await stack.invite("a.eu")
        agent = await stack.start_agent(token, service("a.eu", free_port()), wait=True)
        await agent.reaches(1, "towonel_agent_lanes_admitted_total")

        await check_what_runs(edge, engine, "edge")
        await check_what_runs(agent, engine, "agent")
    finally:
        for program in reversed(runner.programs):
            await program.kill()
