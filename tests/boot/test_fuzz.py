"""Fuzz of boot: whatever the environment holds, settings are good or each mistake is named."""

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.boot import (
    CONTENTS,
    PROGRAMS,
    SECRET,
    VALUES,
    WRONG,
    Files,
    names_of,
    problems_of,
    variable_of,
)

from towonel.runtime.settings import Settings, variables

LINE = re.compile(r"(?:TOWONEL|OTEL)_[A-Z0-9_]*(?:\[\d+\])*: \S.*", re.DOTALL)
# One process finds the wrong values of each variable, for all of them.
pytestmark = pytest.mark.xdist_group("settings")
CLASSES = pytest.mark.parametrize("cls", [*PROGRAMS], ids=lambda cls: cls.__name__)
SHORT = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(SHORT, max_examples=1_000)


def check_lines(problems: list[str]) -> None:
    assert [line for line in problems if not LINE.fullmatch(line) or "\n" in line] == []
    assert len(problems) == len(set(problems))


@CLASSES
@given(data=st.data())
@SHORT
def test_no_environment_is_worse_than_mistakes_with_their_variables(
    cls: type[Settings], data: st.DataObject
) -> None:
    check_environment(cls, data)


@pytest.mark.soak
@CLASSES
@given(data=st.data())
@LONG
def test_no_environment_of_many_is_worse(cls: type[Settings], data: st.DataObject) -> None:
    check_environment(cls, data)


def check_environment(cls: type[Settings], data: st.DataObject) -> None:
    names = st.sampled_from(names_of(cls)) | st.from_regex(r"TOWONEL_[A-Z_]{1,20}", fullmatch=True)
    environ = data.draw(st.dictionaries(names, VALUES, max_size=6))

    check_lines(problems_of(cls, PROGRAMS[cls] | environ))


@CLASSES
@given(data=st.data())
@SHORT
def test_no_file_is_worse_than_a_mistake(
    cls: type[Settings], data: st.DataObject, tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(names_of(cls)))
    path = Files(tmp_path).path(data.draw(CONTENTS))
    needed = {key: value for key, value in PROGRAMS[cls].items() if key != name}
    problems = problems_of(cls, needed | {f"{name}_FILE": path})

    check_lines(problems)
    assert not any(SECRET in line for line in problems)


@cache
def find_wrong(cls: type[Settings], name: str) -> tuple[str, ...]:
    """Return the values of a variable that are refused, each on its own."""
    return tuple(
        value
        for value in WRONG
        if name in map(variable_of, problems_of(cls, PROGRAMS[cls] | {name: value}))
    )


def wrong_of(cls: type[Settings], name: str) -> st.SearchStrategy[tuple[str, str]]:
    """Return assignments that are mistakes: a value, or a file that is missing."""
    missing = st.just((f"{name}_FILE", "/missing/file"))
    found = find_wrong(cls, name)
    return st.sampled_from([(name, value) for value in found]) | missing if found else missing


@CLASSES
@given(data=st.data())
@SHORT
def test_all_mistakes_are_named_at_once(cls: type[Settings], data: st.DataObject) -> None:
    check_mistakes(cls, data)


@pytest.mark.soak
@CLASSES
@given(data=st.data())
@LONG
def test_all_mistakes_of_many_are_named_at_once(cls: type[Settings], data: st.DataObject) -> None:
    check_mistakes(cls, data)


def check_mistakes(cls: type[Settings], data: st.DataObject) -> None:
    # Whether an address is one of a database depends on which database it is.
    apart = {"TOWONEL_HUB_DB_DRIVER"}
    names = sorted({one.name for one in variables(cls)} - apart)
    chosen = data.draw(st.sets(st.sampled_from(names), min_size=2, max_size=12))
    wrong = dict(data.draw(wrong_of(cls, name)) for name in sorted(chosen))
    problems = problems_of(cls, PROGRAMS[cls] | wrong | {"TOWONEL_": "1", "TOWONEL_XYZ": "1"})

    check_lines(problems)
    named = {variable_of(line).removesuffix("_FILE") for line in problems}
    assert chosen | {"TOWONEL_", "TOWONEL_XYZ"} == named


@CLASSES
def test_every_rule_is_in_words(cls: type[Settings]) -> None:
    """Not in those of the library, and with what would be right."""
    lines = [
        line
        for name in names_of(cls)
        for value in find_wrong(cls, name)
        for line in problems_of(cls, PROGRAMS[cls] | {name: value})
    ]

    assert [line for line in lines if "Input should" in line or "String should" in line] == []
    assert all(len(line) < 1_000 for line in lines)


@CLASSES
def test_every_number_has_bounds_and_every_choice_is_one(cls: type[Settings]) -> None:
    for field, name in zip(cls.model_fields.values(), variables(cls), strict=True):
        kinds = str(field.annotation)
        if any(word in kinds for word in ("int", "float", "bool", "Literal")):
            assert {"9" * 300, "9" * 5_000, "inf", "-1"} <= {*find_wrong(cls, name.name)}, name.name


@CLASSES
@given(data=st.data())
@SHORT
def test_no_secret_is_ever_shown(cls: type[Settings], data: st.DataObject) -> None:
    secrets = [one.name for one in variables(cls) if one.is_secret]
    frames = st.sampled_from(["{}", "tt_inv_2_{}", "http://u:{}@h", "“{}”", "{}\n{}", "[{}]"])
    values = {name: data.draw(frames).replace("{}", SECRET) for name in secrets}
    problems = problems_of(cls, PROGRAMS[cls] | values)

    assert not any(SECRET in line for line in problems)
