"""The database: one engine, reads and writes, and the only place that commits."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import URL, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from towonel.hub.store import sqlite
from towonel.wire.errors import Code, Unavailable

POOL_WAIT_S = 5.0  # for a free connection; then the caller is told to come back


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
    async def open(
        cls,
        url: URL | str,
        ring: Callable[[int], Awaitable[None]],
        *,
        max_connections: int = 4,
        max_idle: int = 4,
    ) -> AsyncGenerator[Self]:
        """Connect to a migrated database.

        Args:
            url: of the database, for an asynchronous driver: `sqlite+aiosqlite:///path`.
            ring: is called with the revision after each commit that changed routes.
            max_connections: how many there are at most.
            max_idle: how many of them are kept open.
        """
        engine = create_async_engine(
            url,
            pool_size=max_idle,
            max_overflow=max_connections - max_idle,
            pool_timeout=POOL_WAIT_S,
            hide_parameters=True,  # they hold hashes and keys, and errors are logged
        )
        sqlite.prepare(engine.sync_engine)
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
    except PoolTimeoutError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, "database: every connection is in use", retry_after_s=1
        ) from error
    except OperationalError as error:
        raise Unavailable(
            Code.HUB_UNAVAILABLE, f"database: {error.orig}", retry_after_s=1
        ) from error
