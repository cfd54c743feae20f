"""The error envelope."""

from towonel.api.bodies import Answer


class ErrorBody(Answer):
    """The word of a code, a sentence for people, and where the request is traced, its trace."""

    code: str
    message: str
    trace_id: str | None = None


class ErrorOut(Answer):
    """The body of every answer that is an error."""

    error: ErrorBody
