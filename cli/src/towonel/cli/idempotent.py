"""Creates and rotations that are done once, also where their answer is lost on the way."""

import secrets
from collections.abc import Awaitable, Callable

from towonel.wire.errors import Code, Unavailable


async def create_once[T](create: Callable[[str], Awaitable[T]]) -> T:
    """Make something at the hub; ask a second time where the first got no answer.

    Whether a request without an answer was carried out, nobody knows; asked again with the same
    Idempotency-Key, the hub does it if it has not, and gives the answer it gave if it has.

    Args:
        create: asks, with the key it is given.

    Raises:
        TowonelError: of the second try, or of the first where the hub did answer: it said no, or
            when to come back.
    """
    key = secrets.token_urlsafe(16)
    try:
        return await create(key)
    except Unavailable as error:
        if error.code is not Code.HUB_UNAVAILABLE or error.retry_after_s is not None:
            raise
    return await create(key)
