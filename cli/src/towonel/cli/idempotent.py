"""Idempotent creates and rotations: repeated once with the same key if the answer is lost."""

import secrets
from collections.abc import Awaitable, Callable

from towonel.wire.errors import Code, Unavailable


async def create_once[T](create: Callable[[str], Awaitable[T]]) -> T:
    """Create a resource; try a second time if the first request got no answer.

    A request without an answer may have been carried out. With the same Idempotency-Key, the hub does
    it if it has not, and repeats its answer if it has.

    Args:
        create: sends the request with the key it is given.

    Raises:
        TowonelError: of the second try; or of the first if the hub did answer it, with a refusal or
            a time to retry after.
    """
    key = secrets.token_urlsafe(16)
    try:
        return await create(key)
    except Unavailable as error:
        if error.code is not Code.HUB_UNAVAILABLE or error.retry_after_s is not None:
            raise
    return await create(key)
