"""Engine of the workers that tests start: what `auto` gives, or TOWONEL_RELAY_ENGINE of their environment."""

import os

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
