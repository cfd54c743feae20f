"""What mypyc refuses, or compiles into what differs, as far as a syntax tree shows it."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PROTOCOL = "Protocol"
# Of the standard library; and what the tree has below them is told by the name of its base.
OPEN = {PROTOCOL, "Exception", "ValueError", "Enum", "IntEnum", "StrEnum", "NamedTuple", "object"}
# Attributes of their classes are something else than defaults.
WITHOUT_DEFAULTS = {"Enum", "IntEnum", "StrEnum", "NamedTuple"}
DECORATORS = {"dataclass", "final", "unique"}


@dataclass
class Compiled:
    """Names of the modules that are compiled, of their classes, and of those that are protocols."""

    modules: set[str]
    classes: set[str]
    protocols: set[str]


def name_of(node: ast.expr) -> str:
    """Return the name of a base or decorator, without its arguments."""
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return ast.unparse(node)


def list_compiled(trees: Mapping[str, ast.Module]) -> Compiled:
    """Return the classes of modules that are compiled."""
    nodes = [node for tree in trees.values() for node in tree.body]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return Compiled(
        set(trees),
        {each.name for each in classes},
        {each.name for each in classes if PROTOCOL in map(name_of, each.bases)},
    )


def is_data(tree: ast.Module) -> bool:
    """Whether all classes of a module are data classes."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return all("dataclass" in map(name_of, node.decorator_list) for node in classes)


def find_refused(tree: ast.Module, compiled: Compiled) -> Iterator[tuple[int, str]]:
    """Yield the line of each thing in a module that mypyc refuses, and what it is."""
    outer = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            if node not in outer:
                yield node.lineno, "class that is not of the module"
            yield from ((node.lineno, why) for why in _refuse_bases(node, compiled))
            yield from _refuse_body(node)
        elif isinstance(node, ast.AsyncFunctionDef) and _yields(node):
            yield node.lineno, "asynchronous generator"


def find_heirs(tree: ast.Module, compiled: Compiled) -> Iterator[tuple[int, str]]:
    """Yield the classes of an interpreted module that inherit from those that it imports, compiled."""
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in compiled.classes and node.module in compiled.modules
    }
    for node in ast.walk(tree) if imported else ():
        if isinstance(node, ast.ClassDef) and imported & set(map(name_of, node.bases)):
            yield node.lineno, f"{node.name} is interpreted, and inherits from a compiled class"


def _yields(node: ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node))


def _refuse_bases(node: ast.ClassDef, compiled: Compiled) -> Iterator[str]:
    names = list(map(name_of, node.bases))
    for name in names:
        if name not in compiled.classes and name not in OPEN:
            yield f"{name} as a base, which is not compiled"
    for name in names[1:]:
        if name not in compiled.protocols and name != PROTOCOL:
            yield f"{name} as a second base, which is no protocol"
    if node.keywords:
        yield "metaclass, or arguments of a class"
    for decorator in map(name_of, node.decorator_list):
        if decorator not in DECORATORS:
            yield f"@{decorator} of a class"


def _refuse_body(node: ast.ClassDef) -> Iterator[tuple[int, str]]:
    is_data_class = "dataclass" in map(name_of, node.decorator_list)
    is_plain = not is_data_class and not WITHOUT_DEFAULTS & set(map(name_of, node.bases))
    for each in node.body:
        if isinstance(each, ast.Assign) and is_plain:
            yield from _refuse_assignment(each)
        elif isinstance(each, ast.AnnAssign):
            yield from _refuse_annotated(each, is_data=is_data_class, is_plain=is_plain)


def _refuse_assignment(node: ast.Assign) -> Iterator[tuple[int, str]]:
    if "__slots__" in map(ast.unparse, node.targets):
        yield node.lineno, "__slots__"
    elif not _is_constant(node.value):
        yield node.lineno, "default of an attribute that is no constant"


def _refuse_annotated(
    node: ast.AnnAssign, *, is_data: bool, is_plain: bool
) -> Iterator[tuple[int, str]]:
    kind = name_of(node.annotation)
    if is_data and kind == "ClassVar":
        yield node.lineno, "ClassVar of a data class, whose default becomes a field's"
    elif is_data and kind == "memoryview":
        yield node.lineno, "memoryview in a data class, whose annotation is not found"
    elif is_plain and kind not in {"ClassVar", "Final"} and not _is_constant(node.value):
        yield node.lineno, "default of an attribute that is no constant"


def _is_constant(node: ast.expr | None) -> bool:
    """Whether it is a literal, or a name, which is that of a constant."""
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Tuple):
        return all(map(_is_constant, node.elts))
    return node is None or isinstance(node, (ast.Constant, ast.Name))
