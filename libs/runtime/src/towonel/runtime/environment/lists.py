"""Lists in one value: separated by commas, or as a JSON array."""

import json
import re
from typing import cast

from towonel.runtime.environment.text import clean

# `[::1]:443` begins with a bracket, too.
_JSON = re.compile(r"""\[ (?: .* \] | \s* ["'] .*)""", re.VERBOSE | re.DOTALL)


def parse_json(text: str) -> object:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("is not JSON that can be used: it is nested too deeply") from None


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of `a, b` or `["a", "b"]`; empty ones are left out.

    Raises:
        ValueError: it begins as a JSON array and is none, or has items that are not texts or numbers.
    """
    items = _parse_array(text) if _JSON.fullmatch(text) else text.split(",")
    return tuple(item for each in items if (item := clean(each)))


def _parse_array(text: str) -> list[str]:
    items = cast("list[object]", parse_json(text))  # what begins with a bracket is an array
    wrong = [
        number
        for number, item in enumerate(items)
        if not isinstance(item, str | int) or isinstance(item, bool)
    ]
    if wrong:
        raise ValueError(
            "\n".join(f'[{number}] must be a text, as in ["a", "b"]' for number in wrong)
        )
    return [str(item) for item in items]
