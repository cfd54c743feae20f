"""A connection to Postgres that waits for no answer for ever, and for none that nobody wants.

A server that hangs keeps its TCP connections alive, so that neither the kernel nor libpq notices.
"""

import asyncio
from typing import Any, override

from psycopg import AsyncConnection, AsyncServerCursor, Error, OperationalError
from psycopg.abc import PQGen
from psycopg.waiting import wait_async
from sqlalchemy.engine import ExceptionContext

ANSWER_S = 8.0  # without a byte; a lock that is not had gives an error of its own before that
# Classes of SQLSTATE: connections, resources, shutdown and start; and a server that only reads.
READ_ONLY = "25006"
_AWAY = ("08", "53", "57", READ_ONLY)
_STARTS = ("the database system is", "too many")  # refusals that pass by themselves


class _ServerCursor(AsyncServerCursor[Any]):
    """It ends with its connection; SQLAlchemy closes none where the connection is lost."""

    @override
    def __del__(self, *arguments: Any) -> None:
        if not self.connection.closed:
            super().__del__(*arguments)


class BoundedConnection(AsyncConnection[Any]):
    """It closes where the server says nothing, or nobody waits for the answer any more."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.server_cursor_factory = _ServerCursor

    @override
    async def wait[R](
        self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None
    ) -> R:
        try:
            async with asyncio.timeout(ANSWER_S if timeout is None else timeout) as patience:
                return await wait_async(_heard(gen, patience), self.pgconn.socket, interval)
        except TimeoutError as error:
            self.pgconn.finish()
            raise OperationalError("the database does not answer") from error
        except asyncio.CancelledError:
            # psycopg would have the query cancelled first, and a server that hangs does not do that.
            self.pgconn.finish()
            raise


def _heard[R](gen: PQGen[R], patience: asyncio.Timeout) -> PQGen[R]:
    """Pass on what libpq waits for; a long answer may take its time while it comes."""
    clock = asyncio.get_running_loop().time
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                patience.reschedule(clock() + ANSWER_S)
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: R = end.value
        return answer


def leave_read_only(failure: ExceptionContext) -> None:
    """Have the pool connect anew where it is at a server that only reads, as after a failover.

    Listens to `handle_error` of an engine. A standby is well and would be kept for ever, while the
    address leads to the new primary long since.
    """
    if getattr(failure.original_exception, "sqlstate", None) == READ_ONLY:
        failure.is_disconnect = True


def is_away(error: BaseException | None) -> bool:
    """Whether a Postgres that cannot be used is only not there now, by what psycopg raised.

    A refused connection has no SQLSTATE, only words: who says FATAL is there, and does not want us.
    """
    if not isinstance(error, Error):
        return False
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_AWAY)
    said = str(error)
    is_refused = "FATAL" in said and not any(start in said for start in _STARTS)
    return isinstance(error, OperationalError) and not is_refused
