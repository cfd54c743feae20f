"""Base classes of request and answer bodies."""

from pydantic import (
    BaseModel,
    ConfigDict,
)


class Request(BaseModel):
    """A body that a client sends; a number is a number, and no text that looks like one.

    It is built at once: FastAPI silences pydantic's warnings about its own aliases only then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(BaseModel):
    """A body that the hub sends."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class Page(Answer):
    """Part of a list; `next_cursor` asks for the next part, and is null at the end."""

    next_cursor: str | None = None
