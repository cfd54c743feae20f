"""The shape of the tree: lengths and names that keep it readable."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from conventions.tree import SOURCES, TESTS, parse, relative

BANNED_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "types"}
TABLES = {"settings.py", "tables.py", "code_texts.py"}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTION))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def too_long(paths: list[Path], limit: int) -> list[str]:
    return [
        f"{relative(path)}:{node.lineno} {node.name}: {length(node)}"
        for path in paths
        for node in functions(parse(path))
        if length(node) > limit
    ]


def test_there_are_sources_and_tests_to_look_at() -> None:
    """Prevents a moved folder from turning every check of this file into a pass."""
    assert len(SOURCES) > 40
    assert len(TESTS) > 40


def test_functions_fit_on_a_screen() -> None:
    """Prevents the long tail: everyone's median is short, ugliness lives above the cap."""
    assert too_long(SOURCES, 40) == []


def test_test_functions_are_short_enough_to_read_as_a_sentence() -> None:
    """Prevents tests that assert a dozen things and name none of them."""
    assert too_long(TESTS, 25) == []


def test_modules_fit_in_the_head() -> None:
    """Prevents drawers: a module above 300 lines or 15 functions does more than its name says.

    A table of settings, of database columns or of texts has no logic to lose one's way in.
    """
    long = [
        (relative(p), n)
        for p in SOURCES
        if (n := len(p.read_text().splitlines())) > (500 if p.name in TABLES else 300)
    ]
    crowded = [
        (relative(p), n)
        for p in SOURCES
        if (n := sum(isinstance(node, FUNCTION) for node in parse(p).body)) > 15
    ]

    assert long == []
    assert crowded == []


def test_test_files_and_conftests_stay_small() -> None:
    """Prevents harnesses that need tests of their own."""
    limits = [(p, 100 if p.name == "conftest.py" else 400) for p in TESTS]

    assert [str(p) for p, limit in limits if len(p.read_text().splitlines()) > limit] == []


def test_classes_have_few_public_methods() -> None:
    """Prevents one class from becoming the place where everything happens."""
    crowded = [
        f"{relative(path)} {node.name}"
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
        and sum(isinstance(m, FUNCTION) and not m.name.startswith("_") for m in node.body) > 15
    ]

    assert crowded == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    """Prevents the drawer called utils, where unrelated things meet."""
    assert [str(p) for p in SOURCES if p.stem in BANNED_NAMES] == []


def test_no_folder_is_a_corridor_of_doors() -> None:
    """Prevents flat packages: beyond some fifteen siblings nobody finds the right one by its name."""
    siblings = Counter(p.parent for p in SOURCES if p.name != "__init__.py")

    assert {relative(p): n for p, n in siblings.items() if n > 18} == {}


def test_every_module_says_what_it_is_for() -> None:
    """Prevents a file whose purpose has to be guessed from its contents."""
    silent = [p for p in SOURCES if p.read_text().strip() and not ast.get_docstring(parse(p))]

    assert [relative(p) for p in silent] == []
