"""Engine compiled by mypyc, of the same files: what is true of the interpreted one is true of it."""

from pathlib import Path

import pytest
from support.compiled_engine import compile_into, run_tests

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    compile_into(folder)
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
    run = run_tests(tmp_path, "libs/relay/tests/core/test_stall.py")

    assert run.returncode != 0
    assert "towonel.relay.admission.dial is not compiled" in run.stderr
