"""Values of YAML: texts stay what they are, and mistakes are named with their line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.agent.configuration.yaml_values import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("off", "off"), ("no", "no"), ("12:30:45", "12:30:45"), ("2026-11-24", "2026-11-24")),
        *(
            ("0x10", "0x10"),
            ("007", 7),
            ("-3", -3),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            ("1_000", "1_000"),
        ),
        *(("true", True), ("False", False), ("null", None), ("~", None), ("", None)),
        *(("'22'", "22"), ('"true"', "true"), ("!!str 5", 5), (".inf", ".inf")),
        ("a: 1\nb: [x, {c: d:22}]", {"a": 1, "b": ["x", {"c": "d:22"}]}),
        ("7: a", {"7": "a"}),
    ],
)
def test_a_value_is_what_json_would_have(text: str, value: object) -> None:
    found = read_yaml(text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: [", "is not YAML: "),
        ("a: 1\nb: 2\na: 3", "a occurs twice in one place; leave one (at line 3)"),
        ("a:\n  - {b: 1, b: 2}", "b occurs twice in one place; leave one (at line 2)"),
        ("? [a]\n: 1", "has a name that is no text (at line 1)"),
        ("a: 1\n--- \nb: 2", "has a second document; leave one (at line 2)"),
        ("a: &x 1\nb: *x", "has an alias; write out what it stands for (at line 2)"),
        ("a:\n  " + "[" * 100_000, "is nested too deeply (at line 2)"),
        ("\x00", "is not YAML: "),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 looked at below
        read_yaml(text)

    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(codec="ascii", min_codepoint=32)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(codec="ascii", min_codepoint=33), max_size=9), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_json_is_yaml(value: object) -> None:
    assert read_yaml(json.dumps(value)) == value


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_one_line_about_it(text: str) -> None:
    try:
        read_yaml(text)
    except ValueError as error:
        assert "\n" not in str(error)
