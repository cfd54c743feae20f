"""Text of values: what means nothing is taken off, what cannot be meant is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towonel.runtime.environment.text import clean, decode, find_oddity, find_unusable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true\r", "true"),
        ("\ufefftrue\r\n", "true"),
        ('"true"', "true"),
        ("'[\"a\"]'\r", '["a"]'),
        ('"quoted"\ufeff', "quoted"),
        ("\u200b a b \u00a0", "a b"),
        ('"a","b"', '"a","b"'),
        ('"a', '"a'),
        ('"', '"'),
        ('""', ""),
        ("", ""),
    ],
)
def test_what_editors_and_shells_add_around_a_value_is_taken_off(text: str, value: str) -> None:
    assert clean(text) == value


@given(st.text())
def test_a_clean_value_has_nothing_around_it(text: str) -> None:
    found = clean(text)

    assert found == found.strip(" \t\r\n")
    assert "\ufeff" not in found[:1] + found[-1:]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_every_editor_are_text(encoding: str) -> None:
    assert decode("tt_inv_2_ä".encode(encoding)) == "tt_inv_2_ä"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("token".encode("utf-16-le"), "UTF-16"),
        (b"\x00", "zero bytes"),
        (b"\xff\xfe\x00", "save it as UTF-8"),
        (b"\x80", "is not text"),
        ("token".encode("utf-32"), "zero bytes"),
    ],
)
def test_what_is_not_text_is_named_with_its_mending(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\ud800", "is not UTF-8 at character 2"),
        ("\x07", "has a control character (U+0007) at character 1"),
        ("a\tb\nc", None),
        ("ä", None),
    ],
)
def test_what_no_value_can_have_is_found(text: str, reason: str | None) -> None:
    assert find_unusable(text) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("“true”", "it has a typographic quote (U+201C) at character 1"),
        ("a\u200bb", "it has a character that cannot be seen (U+200B) at character 2"),
        ("a\u00a0b", "it has a character that cannot be seen (U+00A0) at character 2"),
        ("a\nb", "it has a line break (U+000A) at character 2"),
        ("'a", "it has a quote at one end"),
        ("plain", None),
        ("", None),
    ],
)
def test_what_is_seldom_meant_is_named(text: str, reason: str | None) -> None:
    assert find_oddity(text) == reason
