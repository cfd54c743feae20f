"""Engine of the workers that tests start: what `auto` gives, or TOWONEL_RELAY_ENGINE of their environment.

Tests of lanes inside this process are for both: without that variable, a hash of a test's name says which it is.
"""

import os
import zlib

import pytest

from towonel.relay.hop.choice import Engine, choose

ENGINE = Engine(os.environ.get("TOWONEL_RELAY_ENGINE", "auto"))
IS_BUILT = choose(Engine.AUTO) is Engine.COMPILED
BOTH = [
    pytest.param(
        Engine.COMPILED, marks=pytest.mark.skipif(not IS_BUILT, reason="it is not compiled here")
    ),
    Engine.PYTHON,
]


def engine_of_test() -> Engine:
    """Return the engine of the test that runs now."""
    if ENGINE is not Engine.AUTO:
        return ENGINE
    name, _, _ = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    return Engine.PYTHON if zlib.crc32(name.encode()) % 2 else Engine.AUTO
