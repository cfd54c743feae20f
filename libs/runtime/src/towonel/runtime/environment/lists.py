"""Lists in one value: separated by commas, or as a JSON array."""

import json
import re
from collections.abc import Callable
from typing import cast

from towonel.runtime.environment.text import clean

type MakeObject = Callable[[list[tuple[str, object]]], dict[str, object]]

# `[::1]:443` begins with a bracket, too.
_JSON = re.compile(r"""\[ (?: .* \] | \s* ["'] .*)""", re.VERBOSE | re.DOTALL)


def parse_json(text: str, make_object: MakeObject = dict) -> object:
    """Return the value of a JSON text.

    Args:
        text: of a setting.
        make_object: from the names and values of an object.

    Raises:
        ValueError: it is none, nested too deeply, or has a number of too many digits.
    """
    try:
        return cast("object", json.loads(text, object_pairs_hook=make_object))
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("is not JSON that can be used: it is nested too deeply") from None
    except ValueError:  # an integer of more digits than Python converts
        raise ValueError("is not JSON that can be used: a number in it is too long") from None


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
