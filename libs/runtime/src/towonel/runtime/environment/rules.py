"""Rules of settings in words, and the lines that name what breaks them."""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from towonel.runtime.addresses import EXAMPLE_ADDRESS, format_address
from towonel.runtime.environment.text import find_oddity
from towonel.runtime.environment.values import FILE_SUFFIX

MAX_ITEMS_NAMED = 20  # of one setting: a list of thousands may be wrong throughout
_MAX_LINE = 400  # of a message, which may quote a value
_BOUNDS = {"gt": "greater than", "ge": "at least", "le": "at most"}

type Names = Callable[[FieldInfo], tuple[str, ...]]


def explain(
    error: ValidationError,
    fields: Mapping[str, FieldInfo],
    names: Names,
    given: Mapping[str, str],
    skipped: frozenset[str],
) -> list[str]:
    """Return a line for each mistake: the variable, the rule and the fix.

    A value itself is left out, for it may be a secret.

    Args:
        error: what a class of settings raised.
        fields: of that class, by name.
        names: returns the variables of a field.
        given: the values that were read, by variable.
        skipped: fields that have a line already.
    """
    owners = {name: key for key, field in fields.items() for name in (key, *names(field))}
    lines: list[str] = []
    for item in error.errors(include_input=False, include_url=False):
        place = [str(part) for part in item["loc"]]
        if not place:  # a rule about several variables names them itself
            lines += _limit(item["msg"].removeprefix("Value error, ").split("\n"))
            continue
        if owners[place[0]] in skipped:
            continue
        field = fields[owners[place[0]]]
        variable = next((name for name in names(field) if name in given), names(field)[0])
        message = _explain_one(item["type"], item["msg"], field, variable)
        inner = "".join(f"[{part}]" for part in place[1:] if part.isdigit())
        texts = dict.fromkeys(map(_shorten, message.split("\n")))  # an item may occur twice
        found = [f"{variable}{inner}: {text}" for text in texts]
        oddity = find_oddity(given.get(variable, ""))
        lines += _limit([found[0] + (f" ({oddity})" if oddity else ""), *found[1:]])
    return lines


def describe_rule(field: FieldInfo) -> str | None:
    """Return the rule of a field whose type is a number, a truth value or a choice; else None."""
    kinds = set(_find_kinds(field.annotation))
    if bool in kinds:
        return "must be true or false"
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        return f"must be {', '.join(choices[:-1])} or {choices[-1]}"
    for kind, noun in ((int, "a whole number"), (float, "a number")):
        if kind in kinds:
            return f"must be {noun}{_describe_bounds(field.metadata)}"
    return None


def _explain_one(kind: str, message: str, field: FieldInfo, variable: str) -> str:
    if kind == "missing":
        return f"must be set, or {variable}{FILE_SUFFIX}. {field.description}"
    if kind == "value_error":
        return message.removeprefix("Value error, ").replace(EXAMPLE_ADDRESS, _find_example(field))
    return describe_rule(field) or message


def _find_example(field: FieldInfo) -> str:
    """Return an address for a message: the field's own default, where it has one."""
    default = cast("object", field.default)
    if not isinstance(default, tuple):
        return EXAMPLE_ADDRESS
    match cast("tuple[object, ...]", default):
        case (str(host), int(port)):
            return format_address(host, port)
        case _:
            return EXAMPLE_ADDRESS


def _limit(lines: list[str]) -> list[str]:
    rest = len(lines) - MAX_ITEMS_NAMED
    if rest <= 0:
        return lines
    variable = lines[0].partition(":")[0].partition("[")[0]
    return [*lines[:MAX_ITEMS_NAMED], f"{variable}: has {rest} more mistakes"]


def _shorten(line: str) -> str:
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"


def _find_kinds(annotation: Any) -> Iterable[Any]:
    """Yield the types that an annotation allows."""
    if isinstance(annotation, TypeAliasType):
        yield from _find_kinds(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _find_kinds(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for one in get_args(annotation):
            yield from _find_kinds(one)
    elif annotation is not NoneType:
        yield annotation


def _describe_bounds(metadata: Iterable[object]) -> str:
    words = [
        f"{word} {_to_text(bound)}"
        for attribute, word in _BOUNDS.items()
        for rule in metadata
        if (bound := getattr(rule, attribute, None)) is not None
    ]
    return ", " + " and ".join(words) if words else ""


def _to_text(bound: object) -> str:
    number = cast("float", bound)
    return str(int(number)) if number == int(number) else str(number)
