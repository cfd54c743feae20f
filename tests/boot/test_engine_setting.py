"""Setting of the relay's engine, which edge and agent have alike."""

import sys

import pytest
from support.boot import EDGE_INVITE, INVITE
from support.engine import BOTH, IS_BUILT

from towonel.agent.settings import AgentSettings
from towonel.edge.settings import EdgeSettings
from towonel.relay.hop.choice import Engine
from towonel.runtime.settings import load

GOOD = {
    EdgeSettings: {"TOWONEL_EDGE_INVITE_TOKEN": EDGE_INVITE},
    AgentSettings: {"TOWONEL_INVITE_TOKEN": INVITE},
}
type Program = type[EdgeSettings | AgentSettings]


@pytest.fixture(params=GOOD)
def kind(request: pytest.FixtureRequest) -> Program:
    found: Program = request.param
    return found


@pytest.mark.parametrize("engine", BOTH)
def test_the_engine_that_is_set_runs(kind: Program, engine: Engine) -> None:
    environ = GOOD[kind] | {"TOWONEL_RELAY_ENGINE": engine.value}

    assert load(kind, environ).relay_engine is engine


def test_without_a_setting_the_engine_is_what_there_is(
    kind: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Engine.COMPILED if IS_BUILT else Engine.PYTHON
    assert load(kind, GOOD[kind]).relay_engine is there

    monkeypatch.setitem(sys.modules, "towonel.relay.hop._compiled", None)
    assert load(kind, GOOD[kind]).relay_engine is Engine.PYTHON
