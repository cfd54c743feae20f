"""Idempotency-Key: a repeated request is performed once, and gets the stored answer."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from towonel.hub.api.http.auth import Caller
from towonel.hub.store.db.transactions import Write
from towonel.hub.store.idempotency import IdempotentRequest

MAX_IDEMPOTENCY_KEY_CHARS = 128


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Idempotency-Key of a request, or None, and the request itself: method, path and body."""

    key: str | None
    request: bytes = field(repr=False)


async def _request_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,  # a script's unset variable would be the same key for every request
            max_length=MAX_IDEMPOTENCY_KEY_CHARS,
            description="Any text of yours: the same request with the same key, within a day, is"
            " done once, and gets the same answer again.",
        ),
    ] = None,
) -> RequestKey:
    head = f"{request.method} {request.url.path}\n".encode()
    return RequestKey(idempotency_key, head + await request.body())


Idempotent = Annotated[RequestKey, Depends(_request_key)]


class Answer[M: BaseModel]:
    """Answer to a request: stored by an earlier one, or to be set."""

    def __init__(self, stored: M | None) -> None:
        self.is_new = stored is None
        self._body = stored

    @property
    def body(self) -> M:
        assert self._body is not None, "the caller sets it if it is new"
        return self._body

    @body.setter
    def body(self, body: M) -> None:
        self._body = body


@contextlib.asynccontextmanager
async def idempotent[M: BaseModel](
    write: Write, caller: Caller, key: RequestKey, model: type[M]
) -> AsyncGenerator[Answer[M]]:
    """Yield the answer to a request; a new one, once set, is stored with the write.

    Raises:
        Denied: IDEMPOTENCY_CONFLICT if the key was used with another request or secret.
    """
    if key.key is None:
        yield Answer(None)
        return
    request = IdempotentRequest(caller.actor.name, caller.secret, key.key, key.request)
    answer = Answer(await request.replay(write, model))
    yield answer
    if answer.is_new:
        request.store(write, answer.body)
