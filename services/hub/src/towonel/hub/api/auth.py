"""Who asks: the operator with a key, a node or a tenant with a signature."""

from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ValidationError

from towonel.hub.api.errors import problems
from towonel.hub.api.state import HubDep
from towonel.identity.keys import secrets_equal
from towonel.identity.signatures import Signature
from towonel.wire.errors import Code, Denied

Authorization = Annotated[str | None, Header(include_in_schema=False)]


def _operator(hub: HubDep, authorization: Authorization = None) -> None:
    if authorization is None:
        raise Denied(Code.UNAUTHORIZED, "the Authorization header is missing")
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Denied(Code.UNAUTHORIZED, "expected Authorization: Bearer <operator key>")
    if not secrets_equal(key.strip().encode(), hub.keys.operator):
        raise Denied(Code.UNAUTHORIZED, "the operator key is wrong")


Operator = Depends(_operator)


def signature(header: str | None) -> Signature:
    """Return the signature of a request.

    Raises:
        Denied: UNAUTHORIZED where it is missing or of another form.
    """
    if header is None:
        raise Denied(Code.UNAUTHORIZED, "the Authorization header is missing")
    return Signature.parse(header)


async def signed_body[M: BaseModel](request: Request, model: type[M]) -> tuple[bytes, M]:
    """Return the bytes that were signed, and what they say.

    Raises:
        Denied: INVALID_REQUEST naming each field that breaks a rule.
    """
    body = await request.body()
    try:
        return body, model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise Denied(Code.INVALID_REQUEST, problems(found)) from None
