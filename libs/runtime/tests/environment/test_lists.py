"""Lists: separated by commas or a JSON array, whichever is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.runtime.environment.lists import parse_json, split_list

ITEMS = st.lists(st.from_regex(r"[a-z0-9./:-]{1,12}", fullmatch=True))


@given(ITEMS)
def test_a_list_is_the_same_in_either_form(items: list[str]) -> None:
    assert split_list(", ".join(items)) == tuple(items)
    assert split_list(json.dumps(items)) == tuple(items)
    assert split_list(json.dumps(items, indent=2)) == tuple(items)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        ("a,, b ,", ("a", "b")),
        ('"a", "b"', ("a", "b")),
        ("[443, 8443]", ("443", "8443")),
        ("[::1]:443,[::2]:443", ("[::1]:443", "[::2]:443")),
        ("[::1]:443", ("[::1]:443",)),
        ("[]", ()),
        ('["a", ""]', ("a",)),
    ],
)
def test_what_is_meant_by_a_list(text: str, items: tuple[str, ...]) -> None:
    assert split_list(text) == items


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('["a"', "is not JSON: Expecting ',' delimiter at character 5"),
        ("['a']", "is not JSON"),
        ("[a]", "is not JSON"),
        ('["a", null, true, {}]', r"\[1\] must be a text.*\n\[2\] must.*\n\[3\] must"),
        ("[" * 100_000 + "]", "nested too deeply"),
        ("[" + "1" * 5_000 + "]", "a number in it is too long"),
    ],
)
def test_an_array_with_mistakes_is_refused_with_each_of_them(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split_list(text)


@given(st.text())
def test_no_text_is_worse_than_a_mistake(text: str) -> None:
    for parse in (parse_json, split_list):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)
