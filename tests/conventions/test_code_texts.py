"""Explanations of the error codes: each code has one, which says who, what and what to do."""

import pytest
from conventions.code_texts import CODE_TEXTS, CodeText

from towonel.wire.errors import Code

SOURCES = {"all", "hub", "edge", "agent", "command line"}


def test_every_code_is_explained() -> None:
    assert set(CODE_TEXTS) == set(Code)


@pytest.mark.parametrize("text", CODE_TEXTS.values(), ids=[code.word for code in CODE_TEXTS])
def test_an_explanation_names_programs_and_is_made_of_sentences(text: CodeText) -> None:
    assert set(text.source.split(", ")) <= SOURCES
    assert text.meaning.endswith(".")
    assert text.action.startswith("nothing") or text.action.endswith(("?", "."))
