"""Problems of a body: each with its field, the rule and, for an unknown field, those that there are."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeAliasType, get_args

from pydantic import BaseModel

from towonel.api.rules import describe_rule

MAX_PROBLEMS = 20  # of a body, in one response
MAX_PART_CHARS = 100
_LIKENESS = 0.5  # of names: `expires` is like `expires_in_secs`


def format_problems(details: Iterable[Any], model: object = None) -> str:
    """Return the problems of a body, field by field, without its values.

    Args:
        details: of pydantic.
        model: of the body, for the names of its fields.
    """
    return "; ".join(
        f"{_place(item)}: {_rule(item, model)}" for item in islice(details, MAX_PROBLEMS)
    )


def _place(item: Any) -> str:
    # Of a body that is no JSON, the framework tells where in it: that is no field.
    return "body" if item["type"] == "json_invalid" else _join(item["loc"]) or "body"


def _join(path: Sequence[object]) -> str:
    return ".".join(str(part)[:MAX_PART_CHARS] for part in path)


def _rule(item: Any, model: object) -> str:
    if item["type"] == "json_invalid":
        at = [f" at character {part + 1}" for part in item["loc"] if isinstance(part, int)]
        return describe_rule(item) + "".join(at)
    if item["type"] != "extra_forbidden":
        return describe_rule(item)
    *parents, name = item["loc"]
    found = _model_at(model, parents)
    known = sorted(found.model_fields) if found else []
    if not known:
        return "is unknown"
    close = get_close_matches(str(name)[:MAX_PART_CHARS], known, n=1, cutoff=_LIKENESS)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"is unknown{hint}, known are {', '.join(known)}"


def _model_at(annotation: object, path: Sequence[object]) -> type[BaseModel] | None:
    """Return the model at a place in a body; numbers are places in a list."""
    found = _model_in(annotation)
    for part in path:
        if found is None or isinstance(part, int):
            continue
        field = found.model_fields.get(str(part))
        found = None if field is None else _model_in(field.annotation)
    return found


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that an annotation is, or has in it: `list[Model] | None`."""
    if isinstance(annotation, TypeAliasType):
        return _model_in(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((it for it in map(_model_in, get_args(annotation)) if it is not None), None)
