"""Rules of values in words, for who sent one that breaks them: pydantic's speak of its own types."""

from collections.abc import Mapping
from typing import Any

_WHOLE, _NUMBER, _TEXT = "must be a whole number", "must be a number", "must be a text"
_RULES = {
    "missing": "is missing",
    "json_invalid": "is not JSON: {error}",
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE + " of fewer digits",
    "int_from_float": _WHOLE,
    "int_type": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": _TEXT,
    "list_type": "must be a list",
    "model_type": "must be an object",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "string_pattern_mismatch": "must match {pattern}",
}


def describe_rule(problem: Mapping[str, Any]) -> str:
    """Return the rule that a value breaks, without the value.

    Args:
        problem: one of pydantic's `ValidationError.errors()`.
    """
    rule = _RULES.get(problem["type"])
    if rule is not None:
        return rule.format_map(problem.get("ctx", {}))
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)
