"""Limit on the size of a reply of Redis, checked before it is read.

Whoever may publish in Redis chooses how long a message is, up to 512 MiB, and redis-py reads it whole.
"""

# redis-py's parsers are private and have no types; its option for another one is public.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUntypedBaseClass=false, reportUnknownArgumentType=false

from typing import Any

from redis._parsers import _AsyncRESP2Parser, _AsyncRESP3Parser
from redis.asyncio import ConnectionPool
from redis.exceptions import InvalidResponse

MAX_REPLY_BYTES = 16 * 1024  # what we ask for, and are told, is less than a hundred bytes
_RESP2 = 2


class ReplyTooLargeError(InvalidResponse):
    """Error of a reply, or of a published message, that is longer than any we need."""


class _LimitedParser:
    """Mixin of a parser of redis-py that refuses a reply above `MAX_REPLY_BYTES`."""

    _left = MAX_REPLY_BYTES

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        self._left = MAX_REPLY_BYTES
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except (ValueError, RecursionError) as error:  # of what is no number, or nested too deep
            raise InvalidResponse(type(error).__name__) from None

    async def _read(self, length: int) -> bytes:
        self._take(length)
        found: bytes = await super()._read(length)  # type: ignore[misc]
        return found

    async def _readline(self) -> bytes:
        line: bytes = await super()._readline()  # type: ignore[misc]
        self._take(len(line) + 2)
        return line

    def _take(self, length: int) -> None:
        self._left -= length
        if length < 0 or self._left < 0:
            raise ReplyTooLargeError(f"a reply of more than {MAX_REPLY_BYTES} bytes")


class _LimitedResp2Parser(_LimitedParser, _AsyncRESP2Parser):
    """Parser of RESP2 with a limit."""


class _LimitedResp3Parser(_LimitedParser, _AsyncRESP3Parser):
    """Parser of RESP3 with a limit."""


def limit_replies(pool: ConnectionPool) -> None:
    """Have the connections of a pool, which has none yet, refuse replies above `MAX_REPLY_BYTES`."""
    is_resp2 = int(pool.connection_kwargs.get("protocol") or 0) == _RESP2
    parser = _LimitedResp2Parser if is_resp2 else _LimitedResp3Parser
    pool.connection_kwargs["parser_class"] = parser
