"""Engine compiled by mypyc, of the same files: what is true of the interpreted one is true of it."""

from pathlib import Path

import pytest
from compile_modules import compile_into
from support.compiled_engine import HELPER, run_tests
from support.ports import free_port
from support.programs import OwnProcess, own_processes
from support.stack import Stack, service

from towonel.relay.hop.modules import PACKAGE
from towonel.relay.hop.use_modules import LIST, UNIT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine") / PACKAGE
    compile_into(folder, [HELPER], optimize=0)  # which takes longer than it saves
    return folder


@pytest.mark.parametrize(
    "tests",
    ["libs/relay/tests", "services/agent/tests/worker", "services/edge/tests/worker"],
)
def test_the_compiled_engine_passes_the_tests_of_the_interpreted_one(
    engine: Path, tests: str
) -> None:
    run = run_tests(engine, tests)

    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert " passed" in run.stdout


def test_an_engine_that_is_interpreted_is_not_taken_for_the_compiled_one(tmp_path: Path) -> None:
    (tmp_path / LIST).write_text("{}")
    run = run_tests(tmp_path, "libs/relay/tests/core/test_stall.py")

    assert run.returncode != 0
    assert "towonel.identity.lanes is not compiled" in run.stderr  # the first of all


async def test_workers_of_edge_and_agent_use_what_was_compiled(
    engine: Path, tmp_path: Path
) -> None:
    environ = {"PYTHONPATH": str(engine.parent)}
    async with own_processes(tmp_path, forked=False) as runner:
        stack = Stack(runner, tmp_path)
        await stack.start_hub()
        edge = await stack.start_edge(**environ)
        token = await stack.invite("a.eu")
        agent = await stack.start_agent(token, service("a.eu", free_port()), wait=True, **environ)
        await agent.reaches(1, "towonel_agent_lanes_admitted_total")

        for node in (edge, agent):
            assert isinstance(node.program, OwnProcess)
            maps = [Path(f"/proc/{pid}/maps").read_text() for pid in node.program.workers()]
            assert [UNIT in each for each in maps] == [True]
