"""The database: one engine, reads and writes, and the only place that commits."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.wire.errors import Code, Unavailable

BUSY_MS = 10_000  # how long SQLite waits for another process's write


@dataclass
class Change:
    """A write in progress: its session, and the routes' revision it leads to, if it does."""

    session: AsyncSession
    revision: int | None = None

    async def next_revision(self) -> int:
        """Take the next revision of the routes; all routes of one write share it.

        The row is locked until the commit, so revisions become visible in their order.
        """
        if self.revision is None:
            bump = text("UPDATE revision SET value = value + 1 WHERE id = 1 RETURNING value")
            connection = await self.session.connection()
            self.revision = int((await connection.execute(bump)).scalar_one())
        return self.revision


class Store:
    """Reads and writes of one database; `ring` is called after each commit that changed routes."""

    def __init__(self, engine: AsyncEngine, ring: Callable[[int], Awaitable[None]]) -> None:
        self._engine = engine
        self._ring = ring
        self._writing = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, ring: Callable[[int], Awaitable[None]]) -> AsyncGenerator[Self]:
        """Connect to a migrated database, `sqlite+aiosqlite:///path` for one."""
        engine = create_async_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        try:
            yield cls(engine, ring)
        finally:
            await engine.dispose()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """Read a consistent state.

        Raises:
            Unavailable: HUB_UNAVAILABLE where the database does not answer.
        """
        with _translated():
            async with AsyncSession(self._engine, expire_on_commit=False) as session:
                yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[Change]:
        """Write all or nothing: committed at the end, rolled back where anything raises.

        Raises:
            Unavailable: HUB_UNAVAILABLE where the database does not answer.
        """
        with _translated():
            async with self._writing, AsyncSession(self._engine, expire_on_commit=False) as session:
                _ = await session.connection(execution_options={"writes": True})
                change = Change(session)
                yield change
                await session.commit()
        if change.revision is not None:
            await self._ring(change.revision)


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except OperationalError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, f"database: {error.orig}", retry_after_s=1
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not by guess
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # what was acknowledged outlives a power cut
        f"busy_timeout = {BUSY_MS}",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A read that turns into a write can fail half-way; a write that says so at once only waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
