"""Rules of values in words: every one is plain, and none shows the value."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from towonel.api.rules import describe_rule


def refuse(value: str) -> str:
    if value == "secret":
        raise ValueError("must not be that")
    return value


class Example(BaseModel):
    count: Annotated[int, Field(ge=1, le=9)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    name: Annotated[str, Field(min_length=2, max_length=8, pattern="^[a-z]*$")] = "ab"
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    kind: Literal["tcp", "udp"] = "tcp"
    is_on: bool = True
    own: Annotated[str, AfterValidator(refuse)] = ""


def rule(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate_json(text)
    return describe_rule(caught.value.errors()[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"count": "secret"}', "must be a whole number"),
        ('{"count": 1.5}', "must be a whole number"),
        ('{"count": null}', "must be a whole number"),
        ('{"count": 0}', "must be at least 1"),
        ('{"count": 10}', "must be at most 9"),
        ('{"share": "secret"}', "must be a number"),
        ('{"share": 0}', "must be above 0.0"),
        ('{"share": 1}', "must be below 1.0"),
        ('{"name": 1}', "must be a text"),
        ('{"name": "a"}', "must have at least 2 characters"),
        ('{"name": "abcdefghi"}', "must have at most 8 characters"),
        ('{"name": "A1"}', "must match ^[a-z]*$"),
        ('{"names": "secret"}', "must be a list"),
        ('{"names": []}', "must have at least 1 items"),
        ('{"names": ["a", "b", "c"]}', "must have at most 2 items"),
        ('{"kind": "secret"}', "must be 'tcp' or 'udp'"),
        ('{"is_on": "secret"}', "must be true or false"),
        ('{"own": "secret"}', "must not be that"),
        ("[]", "must be an object"),
    ],
)
def test_a_rule_is_in_plain_words(text: str, expected: str) -> None:
    assert rule(text) == expected


def test_what_is_no_json_says_where() -> None:
    assert rule('{"count"').startswith("is not JSON: EOF while parsing")


def test_what_is_missing_is_said_to_be() -> None:
    class Needed(BaseModel):
        name: str

    with pytest.raises(ValidationError) as caught:
        Needed.model_validate({})
    assert describe_rule(caught.value.errors()[0]) == "is missing"
