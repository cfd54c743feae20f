"""The engine of the data plane can be compiled by mypyc, as it is."""

import ast
from collections.abc import Collection
from pathlib import Path

import pytest
from compile_modules import LISTED, ROOT, find_sources, name_module
from conventions.compilation import Compiled, find_heirs, find_refused, is_data, list_compiled
from conventions.tree import SOURCES, SUPPORT, TESTS, parse, relative
from support.compiled_engine import HELPER

PROTOCOL = "class Owner(Protocol): ..."
REFUSED = [
    ("class Both(Loop, Lane): ...", "Lane as a second base, which is no protocol"),
    ("class Own(socket.socket): ...", "socket.socket as a base, which is not compiled"),
    ("class Bounds(dict[str, int]): ...", "dict as a base, which is not compiled"),
    ("class Made(metaclass=ABCMeta): ...", "metaclass, or arguments of a class"),
    ("@total_ordering\nclass Sorted: ...", "@total_ordering of a class"),
    ("def make() -> None:\n    class Local: ...", "class that is not of the module"),
    ("class Outer:\n    class Inner: ...", "class that is not of the module"),
    ("async def each() -> None:\n    yield 1", "asynchronous generator"),
    ("class Small:\n    __slots__ = ()", "__slots__"),
    ("class End:\n    code: Code = Code.NORMAL", "default of an attribute that is no constant"),
    ("class End:\n    code = Code.NORMAL", "default of an attribute that is no constant"),
    ("class End:\n    names: list[str] = []", "default of an attribute that is no constant"),
    (
        "@dataclass\nclass Sent:\n    kind: ClassVar[str] = 'sent'",
        "ClassVar of a data class, whose default becomes a field's",
    ),
    (
        "@dataclass(slots=True)\nclass Row:\n    data: memoryview",
        "memoryview in a data class, whose annotation is not found",
    ),
]
COMPILED = """
class Both(Loop, Owner): ...
class Refusal(Exception): ...
class Kind(Enum):
    ONE = make()
class Row(NamedTuple):
    code: Code = Code.NORMAL
class End(Loop):
    code: ClassVar[Code] = Code.NORMAL
    names: Final = make()
    left: int = -1
    other: Code = NORMAL
    lane: "Lane | None" = None
    sizes: tuple[int, int] = (0, -1)
@dataclass(frozen=True)
class Data:
    code: Code = Code.NORMAL
"""


def list_example(text: str) -> tuple[ast.Module, Compiled]:
    tree = ast.parse(text)
    others = ast.parse(f"class Loop: ...\nclass Lane: ...\n{PROTOCOL}")
    return tree, list_compiled({"towonel.relay.loop": others, "towonel.relay.new": tree})


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_mypyc_refuses_is_found(text: str, why: str) -> None:
    found = [each for _, each in find_refused(*list_example(text))]

    assert found == [why]


def test_what_mypyc_compiles_is_not_found() -> None:
    assert list(find_refused(*list_example(COMPILED))) == []


def list_engine() -> Compiled:
    return list_compiled({name_module(path): parse(path) for path in find_sources()})


def find_all(paths: Collection[Path], compiled: Compiled) -> list[str]:
    find = {True: find_refused, False: find_heirs}
    listed = {*find_sources(), HELPER}
    return [
        f"{relative(path)}:{line}: {why}"
        for path in paths
        for line, why in find[path in listed](parse(path), compiled)
    ]


def test_the_engine_has_nothing_that_mypyc_refuses_and_no_heirs_that_are_interpreted() -> None:
    """Prevents an engine that can only be interpreted, or tests that can only run on that."""
    compiled = list_engine()

    assert {"Loop", "Connection", "ClientService", "OriginDial", "Preamble"} <= compiled.classes
    assert {"Owner", "LaneUse"} <= compiled.protocols
    assert find_all({*SOURCES, *SUPPORT, *TESTS}, compiled) == []


@pytest.mark.parametrize("base", ["Loop", "Owner"])
def test_an_interpreted_class_below_a_compiled_one_is_found(base: str) -> None:
    _, compiled = list_example("")
    text = f"from towonel.relay.loop import {base}\ndef test() -> None:\n    class Own({base}): ..."

    assert [line for line, _ in find_heirs(ast.parse(text), compiled)] == [3]
    assert list(find_heirs(ast.parse(text.replace("towonel", "other")), compiled)) == []


# What chooses and finds compiled modules is imported before them.
EARLY = ("__main__.py", "hop/choice.py", "hop/modules.py", "hop/use_modules.py")


def test_what_is_left_out_is_there_and_would_be_refused_or_is_data() -> None:
    """Prevents a list that nobody needs any more."""
    compiled = list_engine()
    left_out = {path: parse(ROOT / path) for path in LISTED["interpreted"]}
    needless = [
        path
        for path, tree in left_out.items()
        if not path.endswith(EARLY) and not is_data(tree) and not list(find_refused(tree, compiled))
    ]

    assert needless == []
