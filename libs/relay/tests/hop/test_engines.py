"""Both engines: what is true of one is true of the other, and not only of what a hash chose for each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.engine import BOTH

from towonel.relay.hop.choice import Engine

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[4]
TESTS = [
    *("libs/relay/tests", "services/agent/tests/worker", "services/edge/tests/worker"),
    *("tests/e2e/processes/test_passthrough.py", "tests/e2e/processes/test_random_ends.py"),
]


@pytest.mark.parametrize("engine", BOTH)
def test_an_engine_passes_all_tests_of_lanes(engine: Engine) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *TESTS],
        cwd=ROOT,
        env=os.environ | {"TOWONEL_RELAY_ENGINE": engine.value},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert " passed" in run.stdout
