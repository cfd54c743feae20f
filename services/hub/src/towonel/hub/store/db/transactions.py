"""The database: one engine, reads and writes, and the only place that commits."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Engine, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.postgres import connector, is_away
from towonel.hub.timing import Timing
from towonel.runtime.cancellation import uninterrupted
from towonel.wire.errors import Code, Denied, Unavailable

_LOCK = text("SELECT 1 FROM revision WHERE id = 1 FOR UPDATE")
SAME = text("UPDATE revision SET value = value WHERE id = 1")  # a write that changes nothing
_NEXT = text("UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value")
_LEAP = text("UPDATE revision SET value = :past, pruned = :past WHERE id = 1")
REVISIONS_LOST = 1_000_000_000  # more than ever are, by a failover or between backup and restore


@dataclass
class Write:
    """A write in progress: its session, and what it leads to, if it does.

    Args:
        session: of the database.
        told: the highest revision that edges were told.
        revision: of the routes, once it changed them.
        audited: whether it left a trace that followers of events wait for.
    """

    session: AsyncSession
    told: int = 0
    revision: int | None = None
    audited: bool = False

    async def next_revision(self) -> int:
        """Take the next revision of the routes; all routes of one write share it.

        The row is locked until the commit, so revisions become visible in their order. One that edges
        were told already was lost by a failover: it must not come back with another meaning, so that
        they are given the whole table.
        """
        if self.revision is None:
            connection = await self.session.connection()
            number = int((await connection.execute(_NEXT)).scalar_one())
            if number <= self.told:
                await connection.execute(_LEAP, {"past": self.told + REVISIONS_LOST})
                number = int((await connection.execute(_NEXT)).scalar_one())
            self.revision = number
        return self.revision


class Store:
    """Reads and writes of one database; `committed` is called after each write that was kept."""

    def __init__(
        self,
        engine: AsyncEngine,
        committed: Callable[[Write], Awaitable[None]],
        told: Callable[[], int],
        *,
        is_sqlite: bool,
        begin_s: float = Timing.database_begin_s,
    ) -> None:
        self._engine = engine
        self._committed = committed
        self._told = told
        self._is_sqlite = is_sqlite
        self._begin_s = begin_s
        self._writing = asyncio.Lock()
        self._under_way = set[asyncio.Task[Any]]()
        self.trouble: str | None = None  # why a write was not kept; until `try_to_write` goes well

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        database: Database,
        committed: Callable[[Write], Awaitable[None]],
        told: Callable[[], int] = lambda: 0,
        *,
        max_connections: int = 4,
        max_idle: int = 4,
        begin_s: float = Timing.database_begin_s,
        answer_s: float = Timing.database_answer_s,
    ) -> AsyncGenerator[Self]:
        """Connect to a migrated database.

        Args:
            database: which one.
            committed: is called after each commit of `write`.
            told: tells the highest revision of the routes that edges were told.
            max_connections: how many there are at most.
            max_idle: how many of them are kept open.
            begin_s: seconds that a transaction may take to begin.
            answer_s: seconds without a byte from Postgres.
        """
        options = database.engine_options
        if not database.is_sqlite:
            creator = {"async_creator_fn": connector(answer_s)}
            options["connect_args"] = {**options["connect_args"], **creator}
        engine = create_async_engine(
            database.async_url,
            pool_size=max_idle,
            max_overflow=max_connections - max_idle,
            pool_timeout=begin_s,
            **options,
        )
        database.prepare(engine.sync_engine)
        store = cls(engine, committed, told, is_sqlite=database.is_sqlite, begin_s=begin_s)
        try:
            yield store
        finally:
            await uninterrupted(store._close())

    @property
    def engine(self) -> Engine:
        """The engine below, to watch it."""
        return self._engine.sync_engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """Read one consistent state.

        Raises:
            Unavailable: HUB_UNAVAILABLE where the database does not answer.
        """
        options = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with _translated():
            async with contextlib.AsyncExitStack() as stack:
                async with _begin(self._begin_s):
                    session = await self._session(stack, options)
                yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[Write]:
        """Write all or nothing: committed at the end, rolled back where anything raises.

        No two writes overlap, of all replicas: each sees what those before it did.

        Raises:
            Unavailable: HUB_UNAVAILABLE where the database does not answer.
        """
        async with self._writer(is_alone=True) as session:
            change = Write(session, self._told())
            yield change
        await self._committed(change)

    @contextlib.asynccontextmanager
    async def write_fact(self) -> AsyncGenerator[AsyncSession]:
        """Write a fact that stands alone: that a request was seen, or somebody is there.

        On Postgres it waits for no other write. It must not touch routes, invites or the audit log.

        Raises:
            Unavailable: HUB_UNAVAILABLE where the database does not answer.
        """
        async with self._writer(is_alone=self._is_sqlite) as session:
            yield session

    async def try_to_write(self) -> None:
        """Write what is there already, to learn whether the database takes writes.

        Raises:
            Unavailable: HUB_UNAVAILABLE where it does not.
        """
        async with self._writer(is_alone=True) as session:
            await (await session.connection()).execute(SAME)
        self.trouble = None  # not after any write: a full disk takes those that change nothing

    @contextlib.asynccontextmanager
    async def _writer(self, *, is_alone: bool) -> AsyncGenerator[AsyncSession]:
        with self._watched(), _translated():
            async with contextlib.AsyncExitStack() as stack:
                async with _begin(self._begin_s):
                    if is_alone:
                        await stack.enter_async_context(self._writing)
                    session = await self._session(stack, {"writes": True})
                    if is_alone and not self._is_sqlite:  # that has the lock since BEGIN IMMEDIATE
                        await (await session.connection()).execute(_LOCK)
                yield session
                await session.commit()

    async def _session(
        self, stack: contextlib.AsyncExitStack, options: Mapping[str, object]
    ) -> AsyncSession:
        """Begin a transaction that ends with the stack."""
        connecting = self._started(self._engine.connect().start())
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:  # cut off half-way, it would be open for ever
            _ = self._started(_given_back(connecting))
            raise
        session = AsyncSession(connection, expire_on_commit=False)
        _ = stack.push_async_callback(self._end, session, connection)
        _ = await connection.execution_options(**options)
        _ = await session.connection()
        return session

    async def _end(self, session: AsyncSession, connection: AsyncConnection) -> None:
        """Close both; a caller that is cancelled meanwhile does not cut it off."""

        async def close() -> None:
            try:
                await session.close()
            finally:
                await connection.close()

        await asyncio.shield(self._started(close()))

    def _started[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start what goes on when its caller is cancelled; the end of the store waits for it."""
        task = asyncio.create_task(work)  # noqa: TID251 its failure is its caller's or no one's
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            _ = task.exception()  # else asyncio complains where the caller has left

    async def _close(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._engine.dispose()

    @contextlib.contextmanager
    def _watched(self) -> Generator[None]:
        try:
            yield
        except Unavailable as error:
            if error.code is Code.HUB_UNAVAILABLE:
                self.trouble = error.detail
            raise


async def _given_back(connecting: asyncio.Task[AsyncConnection]) -> None:
    with contextlib.suppress(SQLAlchemyError):
        await (await connecting).close()


@contextlib.asynccontextmanager
async def _begin(timeout_s: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, "database: busy, or it does not answer", retry_after_s=2
        ) from error


@contextlib.contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, "database: every connection is in use", retry_after_s=1
        ) from error
    except (OperationalError, InterfaceError) as error:
        raise _away(error) from error
    except DataError as error:  # the last line: models and rules refuse such values by name
        raise Denied(Code.INVALID_REQUEST, "a value that the database cannot hold") from error
    except DBAPIError as error:
        if error.connection_invalidated or is_away(error.orig):
            raise _away(error) from error
        # Its own text shows values, and ends up in the log.
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
        raise RuntimeError(f"database: {type(error.orig).__name__} {state}") from None


def _away(error: DBAPIError) -> Unavailable:
    reason = [*str(error.orig).strip().splitlines(), "the connection was lost"][0]
    return Unavailable(Code.HUB_UNAVAILABLE, f"database: {reason}", retry_after_s=2)
