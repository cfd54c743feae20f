"""Description of a failure of Redis: where it is and what to do, never the URL or a password."""

import os
from dataclasses import dataclass
from typing import override

import redis.exceptions
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from towonel.runtime.logs import describe_error
from towonel.runtime.redis.replies import ReplyTooLargeError

MAX_TEXT_CHARS = 200  # of what Redis said itself
URL_VARIABLE = "TOWONEL_REDIS_URL"


@dataclass(frozen=True, slots=True)
class RedisFailure:
    """Failure of Redis.

    Args:
        address: of the Redis that the URL names.
        reason: why, and what to do where that is known.
        is_refusal: whether Redis is there, and refuses what the URL says.
    """

    address: str
    reason: str
    is_refusal: bool = False

    @override
    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


def describe_failure(client: Redis, error: RedisError | OSError) -> RedisFailure:
    """Return what failed. Of the error's own text only parts are used: others may show a password."""
    options: dict[str, object] = client.connection_pool.connection_kwargs
    address = str(options.get("path") or f"{options.get('host')}:{options.get('port')}")
    match error:
        case AuthenticationError():
            has_password = bool(options.get("password"))
            what = "refuses the user or password of" if has_password else "wants a password in"
            return RedisFailure(
                address, f"{what} {URL_VARIABLE}: correct it there", is_refusal=True
            )
        case NoPermissionError() | AuthorizationError():
            text = "".join(char for char in str(error) if char.isprintable())[:MAX_TEXT_CHARS]
            reason = f"gives the user of {URL_VARIABLE} too few rights: {text}"
            return RedisFailure(address, reason, is_refusal=True)
        case TimeoutError() | RedisTimeoutError():
            return RedisFailure(address, "does not answer in time")
        case ReplyTooLargeError():
            return RedisFailure(address, str(error))
        case _:
            return RedisFailure(address, _describe_cause(error))


def _describe_cause(error: RedisError | OSError) -> str:
    """Return why no connection was made, as the system says it, or the kind of the error."""
    cause = error if isinstance(error, OSError) else error.__context__
    if isinstance(cause, ConnectionError) and cause.errno is not None:
        return os.strerror(cause.errno)  # asyncio's own text names the address again
    if isinstance(cause, OSError):
        return cause.strerror or describe_error(cause)  # of several addresses, each with its reason
    is_closed = type(error) is redis.exceptions.ConnectionError
    return "closed the connection" if is_closed else type(error).__name__
