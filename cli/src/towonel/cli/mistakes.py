"""Mistakes in a command line: the rule in words, and the flag that takes the value if another does."""

from collections.abc import Iterator
from typing import Any, Literal, TypeAliasType, cast, get_args, get_origin

from pydantic import ValidationError

from towonel.api.rules import describe_rule


def reword(error: Any) -> None:
    """Give an error of the parser the words of our own rules.

    Args:
        error: with a message, and with a cause where that was pydantic's.
    """
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return
    problem = cause.errors(include_url=False)[0]
    others = _find_takers(error, problem["input"])
    error.message = f"{describe_rule(problem).rstrip('.')}{others}."


def _find_takers(error: Any, value: object) -> str:
    """Return which other flags of the command have the value among their choices."""
    names = [
        max(one.opts, key=len)
        for one in error.ctx.command.params
        if one is not error.param and value in _choices(one.type_descriptor.annotation)
    ]
    return f"; {' and '.join(names)} takes it" if names else ""


def _choices(annotation: object) -> Iterator[object]:
    if isinstance(annotation, TypeAliasType):
        yield from _choices(annotation.__value__)
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in cast("tuple[object, ...]", get_args(annotation)):
            yield from _choices(part)
