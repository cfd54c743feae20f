"""Vocabulary: one standard word for one idea, in names, first lines of docstrings and documents."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conventions.tree import DOCUMENTS, SOURCES, SUPPORT, parse, relative

# What was once called so, and what to say instead; CONTRIBUTING has the glossary.
OLD_WORDS = {
    "bell": "route changes, or notifications",
    "doorbell": "notifications",
    "rung": "publish",
    "rumour": "request a refresh",
    "news": "changes",
    "crowd": "in flight",
    "doorman": "handshake",
    "stranger": "unauthenticated, or new client",
    "goodbye": "close, or final",
    "farewell": "close, or final",
    "greeting": "request, or handshake",
    "visit": "fetch, or client connection",
    "visitor": "client",
    "household": "processes",
    "deed": "audit event",
    "chores": "background tasks",
    "told": "reported, sent or described",
    "shown": "presented or rendered",
    "asked": "requested",
    "kept": "placeholder, reserved or retained",
    "world": "hub, or support",
    "house": "conventions",
    "lately": "recently",
    "leash": "die with parent",
}
# Riddles as names, and plain English in a sentence.
WORDS_OF_SENTENCES = {"asked", "kept", "shown", "told"}
OLD_PHRASES = {"without a word": "silent, or vanished", "heard of": "received, or learned"}
CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)
# A function of such a name says neither what it does nor what it returns.
BARE_PARTICIPLES = {
    *("found", "lost", "given", "told", "shown", "kept", "asked", "held", "known", "seen", "taken"),
    *("encoded", "serving", "reading", "writing", "reserved", "migrated", "prepared", "sealed"),
    *("committed", "received", "consumed", "signed", "joined", "typed", "needed"),
    *("opened", "bounded", "resolved", "checked", "counted", "written", "introduced", "proven"),
}
RIDDLES = ("What ", "Who ", "How ", "Which ", "Whose ", "Where ", "When ", "Why ")


def words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Every name that a file defines: its own, and those of functions, classes, values, parameters."""
    yield 0, path.stem
    for node in ast.walk(parse(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case _:
                pass


def old_terms(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, term and replacement of what was given up, in a document without its code and links."""
    prose = CODE.sub(lambda code: "\n" * code[0].count("\n"), text).lower()
    for term, instead in (OLD_WORDS | OLD_PHRASES).items():
        if term not in WORDS_OF_SENTENCES:
            for found in re.finditer(rf"\b{term}s?\b".replace(" ", r"\s+"), prose):
                yield prose.count("\n", 0, found.start()) + 1, term, instead


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    tree = parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", path.stem), text.splitlines()[0]


def test_no_name_has_a_word_that_was_given_up() -> None:
    """Prevents a private language: a reader searches for the field's word, and finds nothing."""
    found = sorted(
        f"{relative(path)}:{line} {name}: say {OLD_WORDS[word]}"
        for path in (*SOURCES, *SUPPORT)
        for line, name in set(names(path))
        for word in words(name)
        if word.removesuffix("s") in OLD_WORDS or word in OLD_WORDS
    )

    assert found == []


def test_no_document_has_a_term_that_was_given_up() -> None:
    """Prevents an operator from reading of a bell or a stranger, which no other manual has."""
    found = [
        f"{relative(path)}:{line} {term}: say {instead}"
        for path in DOCUMENTS
        for line, term, instead in old_terms(path.read_text())
    ]

    assert len(DOCUMENTS) > 6
    assert found == []


def test_a_function_is_a_verb() -> None:
    """Prevents `_found` from meaning "row or 404" in one file and "the hub is back" in another."""
    bare = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.strip("_") in BARE_PARTICIPLES
    ]

    assert bare == []


def test_docstrings_begin_with_a_standard_term() -> None:
    """Prevents riddles: "Who is here" instead of "Sessions of connected agents"."""
    riddles = [
        f"{relative(path)} {name}: {line}"
        for path in SOURCES
        for name, line in docstrings(path)
        if line.startswith(RIDDLES)
    ]

    assert riddles == []


@pytest.mark.parametrize(("name", "expected"), [("RedisBell", "bell"), ("_MAX_DEEDS", "deeds")])
def test_words_are_found_in_names_of_any_case(name: str, expected: str) -> None:
    """Prevents the checks above from passing because they read no word at all."""
    assert expected in words(name)


def test_terms_are_found_in_sentences_and_not_in_code() -> None:
    """Prevents the check of documents from passing because it reads no line at all."""
    text = "As told, `a_visit`\n```\nbell\n```\n[it](stranger.md): Strangers left without\na word."

    assert [(line, term) for line, term, _ in old_terms(text)] == [
        (5, "stranger"),
        (5, "without a word"),
    ]
