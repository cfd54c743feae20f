"""Choice of the engine: which one runs, and what a setting that cannot be had says."""

import sys

import pytest
from support.engine import BOTH, IS_BUILT

from towonel.relay.hop.choice import Engine, choose, load_hop, parse_engine

MODULE = "towonel.relay.hop._compiled"


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the module, as where no compiler made it."""
    monkeypatch.setitem(sys.modules, MODULE, None)


@pytest.mark.parametrize("engine", BOTH)
def test_the_engine_that_is_asked_for_runs(engine: Engine) -> None:
    hop = load_hop(engine)

    assert (hop is None) == (engine is Engine.PYTHON)
    assert choose(engine) is engine
    assert parse_engine(engine.value) is engine


@pytest.mark.skipif(not IS_BUILT, reason="it is not compiled here")
def test_auto_is_the_compiled_engine_where_it_is_there() -> None:
    assert parse_engine("auto") is Engine.COMPILED


@pytest.mark.usefixtures("nothing_compiled")
def test_auto_is_the_engine_in_python_where_nothing_is_compiled() -> None:
    assert load_hop(Engine.AUTO) is None
    assert parse_engine("auto") is Engine.PYTHON


@pytest.mark.usefixtures("nothing_compiled")
def test_a_compiled_engine_that_is_not_there_is_refused_with_what_to_do() -> None:
    with pytest.raises(ImportError):
        load_hop(Engine.COMPILED)
    with pytest.raises(
        ValueError, match=r"^must be auto or python here, where .*C compiler"
    ) as why:
        parse_engine("compiled")

    assert MODULE in str(why.value)
    assert "\n" not in str(why.value)


@pytest.mark.parametrize("value", ["", "rust", "Compiled", "auto "])
def test_an_engine_that_there_is_not_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^must be auto, compiled or python$"):
        parse_engine(value)
