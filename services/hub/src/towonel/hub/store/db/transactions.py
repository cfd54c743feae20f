"""Transactions: reads and writes of one database, and the only place that commits."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import audit
from towonel.hub.store.audit import Actor
from towonel.hub.store.db import probe, revisions
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.errors import is_locked, limit_begin, translate_errors
from towonel.hub.timing import Timing
from towonel.runtime.cancellation import finish_despite_cancellation
from towonel.wire.errors import Code, Unavailable

LOCKED_PAUSE_S = 0.05  # between tries to begin, while another process writes


def wall_clock_ms() -> int:
    """Return Unix time in ms."""
    return time.time_ns() // 1_000_000


class Versioned(Protocol):
    """Row with a version, which is its ETag."""

    version: int


@dataclass
class Write:
    """Write transaction: session, time, audit log, and what its commit announces.

    Args:
        session: of the database.
        now_ms: the time of the transaction.
        served: the highest revision of the routes that edges received.
        revision: of the routes, once the transaction changed them.
        audited: whether it has an audit event.
    """

    session: AsyncSession
    now_ms: int
    served_revision: int
    revision: int | None = None
    has_audit_event: bool = False

    def touch(self, row: Versioned) -> None:
        """Write a changed row under a new version."""
        row.version += 1
        self.session.add(row)

    def audit(
        self,
        actor: Actor,
        action: str,
        subject: str,
        tenant_id: bytes | None = None,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record an event in the audit log.

        Args:
            actor: of the request.
            action: such as `invite.created`.
            subject: such as `invite:<id>`.
            tenant_id: the tenant concerned, if there is one.
            before: the changed fields before, without secrets; None if the subject is new.
            after: the changed fields after, without secrets; None if the subject was deleted.
        """
        row = audit.to_row(actor, action, subject, tenant_id, self.now_ms, before, after)
        self.session.add(row)
        self.has_audit_event = True

    async def next_revision(self) -> int:
        """Take the next revision of the routes; all routes of one write share it."""
        if self.revision is None:
            connection = await self.session.connection()
            self.revision = await revisions.take_next(connection, self.served_revision)
        return self.revision


class Store:
    """Database with transactions; `committed` is called after each commit of `write`."""

    def __init__(
        self,
        engine: AsyncEngine,
        committed: Callable[[Write], Awaitable[None]],
        served: Callable[[], int],
        now_ms: Callable[[], int],
        *,
        file: Path | None,
        begin_s: float = Timing.database_begin_s,
    ) -> None:
        self._engine = engine
        self._committed = committed
        self._served = served
        self.now_ms = now_ms
        self._file = file
        self._is_sqlite = file is not None
        self._begin_s = begin_s
        self._writing = asyncio.Lock()
        self._unfinished = set[asyncio.Task[Any]]()
        self.trouble: str | None = None  # why a write failed; None again after `try_to_write`

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        database: Database,
        committed: Callable[[Write], Awaitable[None]],
        served: Callable[[], int] = lambda: 0,
        *,
        now_ms: Callable[[], int] = wall_clock_ms,
        max_connections: int = 4,
        max_idle: int = 4,
        begin_s: float = Timing.database_begin_s,
        answer_s: float = Timing.database_answer_s,
    ) -> AsyncGenerator[Self]:
        """Connect to a migrated database.

        Args:
            database: the database.
            committed: is called after each commit of `write`.
            served: returns the highest revision of the routes that edges received.
            now_ms: the clock of the hub.
            max_connections: the maximum number of connections.
            max_idle: how many idle connections stay open.
            begin_s: seconds that a transaction may take to begin.
            answer_s: seconds without a byte from Postgres.
        """
        engine = database.create_engine(
            max_connections=max_connections, max_idle=max_idle, begin_s=begin_s, answer_s=answer_s
        )
        store = cls(engine, committed, served, now_ms, file=database.path, begin_s=begin_s)
        try:
            yield store
        finally:
            await finish_despite_cancellation(store._close())

    @property
    def engine(self) -> Engine:
        """The engine, for instrumentation."""
        return self._engine.sync_engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """Read a consistent snapshot.

        Raises:
            Unavailable: HUB_UNAVAILABLE if the database does not answer.
        """
        options = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with translate_errors():
            async with contextlib.AsyncExitStack() as stack:
                async with limit_begin(self._begin_s):
                    session = await self._session(stack, options)
                yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[Write]:
        """Write atomically: committed at the end, rolled back if anything raises.

        Writes of all replicas are serialized: each sees all earlier ones.

        Raises:
            Unavailable: HUB_UNAVAILABLE if the database does not answer.
        """
        async with self._writer(is_alone=True) as session:
            write = Write(session, self.now_ms(), self._served())
            yield write
        await self._committed(write)

    @contextlib.asynccontextmanager
    async def write_fact(self) -> AsyncGenerator[AsyncSession]:
        """Write an independent fact, such as a nonce or when an agent was last seen.

        On Postgres it does not wait for other writes. It must not touch routes, invites or the audit log.

        Raises:
            Unavailable: HUB_UNAVAILABLE if the database does not answer.
        """
        async with self._writer(is_alone=self._is_sqlite) as session:
            yield session

    async def try_to_write(self) -> None:
        """Write what leaves nothing behind, to check whether the database accepts writes.

        Raises:
            Unavailable: HUB_UNAVAILABLE if it does not.
        """
        async with self._writer(is_alone=True) as session:
            await probe.write(await session.connection())
        if self._file is not None:
            await asyncio.to_thread(probe.check_space, self._file.parent)
        self.trouble = None  # not after any write: on a full disk some still succeed

    @contextlib.asynccontextmanager
    async def _writer(self, *, is_alone: bool) -> AsyncGenerator[AsyncSession]:
        with self._record_failure(), translate_errors():
            async with contextlib.AsyncExitStack() as stack:
                async with limit_begin(self._begin_s):
                    if is_alone:
                        await stack.enter_async_context(self._writing)
                    session = await self._session(stack, {"writes": True})
                    if is_alone and not self._is_sqlite:  # which has it since BEGIN IMMEDIATE
                        await (await session.connection()).execute(revisions.LOCK)
                yield session
                await session.commit()

    async def _session(
        self, stack: contextlib.AsyncExitStack, options: Mapping[str, object]
    ) -> AsyncSession:
        """Begin a transaction that ends with the stack; one that another process locks out is tried again.

        Each try is short: SQLite waits in a thread, where nothing can end it before its time.
        """
        while True:
            try:
                async with contextlib.AsyncExitStack() as attempt:
                    session = await self._try_session(attempt, options)
                    stack.push_async_exit(attempt.pop_all())
                    return session
            except OperationalError as error:
                if not is_locked(error.orig):
                    raise
            await asyncio.sleep(LOCKED_PAUSE_S)

    async def _try_session(
        self, stack: contextlib.AsyncExitStack, options: Mapping[str, object]
    ) -> AsyncSession:
        connecting = self._start(self._engine.connect().start())
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:  # a half-open connection would leak
            _ = self._start(_close_when_connected(connecting))
            raise
        session = AsyncSession(connection, expire_on_commit=False)
        _ = stack.push_async_callback(self._end, session, connection)
        _ = await connection.execution_options(**options)
        _ = await session.connection()
        return session

    async def _end(self, session: AsyncSession, connection: AsyncConnection) -> None:
        """Close both, even if the caller is cancelled meanwhile."""

        async def close() -> None:
            try:
                await session.close()
            finally:
                await connection.close()

        await asyncio.shield(self._start(close()))

    def _start[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that outlives the cancellation of its caller; closing the store waits for it."""
        task = asyncio.create_task(work)  # noqa: TID251 the caller handles its failure, if it waits
        self._unfinished.add(task)
        task.add_done_callback(self._discard)
        return task

    def _discard(self, task: asyncio.Task[Any]) -> None:
        self._unfinished.discard(task)
        if not task.cancelled():
            _ = task.exception()  # else asyncio complains where the caller has left

    async def _close(self) -> None:
        while self._unfinished:
            await asyncio.wait(self._unfinished)
        await self._engine.dispose()

    @contextlib.contextmanager
    def _record_failure(self) -> Generator[None]:
        try:
            yield
        except Unavailable as error:
            if error.code is Code.HUB_UNAVAILABLE:
                self.trouble = error.detail
            raise


async def _close_when_connected(connecting: asyncio.Task[AsyncConnection]) -> None:
    with contextlib.suppress(SQLAlchemyError):
        await (await connecting).close()
