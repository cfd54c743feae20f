"""Connection to Postgres with a timeout for each answer, and an end when its caller is cancelled.

A server that hangs keeps its TCP connections alive, so that neither the kernel nor libpq notices.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, override

from psycopg import AsyncConnection, AsyncServerCursor, Error, OperationalError
from psycopg.abc import PQGen
from psycopg.waiting import wait_async
from sqlalchemy.engine import ExceptionContext

from towonel.hub.timing import Timing

READ_ONLY = "25006"
DISK_FULL = "53100"
# Classes of SQLSTATE: connections, resources, shutdown and start; and a read-only server.
_AWAY = ("08", "53", "57", READ_ONLY)
_STARTS = ("the database system is", "too many")  # refusals that end by themselves


class _ServerCursor(AsyncServerCursor[Any]):
    """Server-side cursor that ends with its connection, where SQLAlchemy does not close it."""

    @override
    def __del__(self, *arguments: Any) -> None:
        if not self.connection.closed:
            super().__del__(*arguments)


class BoundedConnection(AsyncConnection[Any]):
    """Connection that closes where the server says nothing, or the caller is cancelled."""

    answer_s = Timing.database_answer_s

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.server_cursor_factory = _ServerCursor

    @override
    async def wait[R](
        self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None
    ) -> R:
        try:
            async with asyncio.timeout(self.answer_s if timeout is None else timeout) as deadline:
                return await wait_async(self._extended(gen, deadline), self.pgconn.socket, interval)
        except TimeoutError as error:
            self.pgconn.finish()
            raise OperationalError("the database does not answer") from error
        except asyncio.CancelledError:
            # psycopg would have the query cancelled first, and a server that hangs does not do that.
            self.pgconn.finish()
            raise

    def _extended[R](self, gen: PQGen[R], deadline: asyncio.Timeout) -> PQGen[R]:
        """Extend the deadline with each byte: a long answer may take its time while it comes."""
        clock = asyncio.get_running_loop().time
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    deadline.reschedule(clock() + self.answer_s)
                wanted = gen.send(ready)
        except StopIteration as end:
            answer: R = end.value
            return answer


def connector(answer_s: float) -> Callable[..., Awaitable[BoundedConnection]]:
    """Return what connects to Postgres, with so many seconds for each answer."""

    async def connect(*arguments: Any, **options: Any) -> BoundedConnection:
        connection = await BoundedConnection.connect(*arguments, **options)
        connection.answer_s = answer_s
        return connection

    return connect


def leave_read_only(failure: ExceptionContext) -> None:
    """Have the pool reconnect where its server is read-only, as after a failover.

    Listens to `handle_error` of an engine. A standby is healthy and would be kept for ever, although
    the address leads to the new primary by now.
    """
    if getattr(failure.original_exception, "sqlstate", None) == READ_ONLY:
        failure.is_disconnect = True


def is_away(error: BaseException | None) -> bool:
    """Whether what psycopg raised means that Postgres is unavailable for now.

    A refused connection has no SQLSTATE, only words: FATAL means that it is there and refuses us.
    """
    if not isinstance(error, Error):
        return False
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_AWAY)
    message = str(error)
    is_refused = "FATAL" in message and not any(start in message for start in _STARTS)
    return isinstance(error, OperationalError) and not is_refused
