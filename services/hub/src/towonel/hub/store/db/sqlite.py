"""Set-up of SQLite connections: a write-ahead log, and transactions that begin explicitly."""

import sqlite3
import time
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Self, override

import aiosqlite
from sqlalchemy import Engine, event

from towonel.hub.store.db.errors import is_locked

BUSY_MS = 5_000  # how long a write waits for another process's
PREFETCHED = 256  # rows
SHORT_BUSY_MS = 250  # where the waiting blocks a thread, and the caller tries again
_BUSY_PAUSE_S = 0.01
_PRAGMAS = (
    "synchronous = FULL",  # what was acknowledged outlives a power cut
    "foreign_keys = ON",
    "cache_size = -16000",  # KiB; the default of 2 MiB reads a table of 100 000 routes in pieces
)


class ClosingConnection(sqlite3.Connection):
    """Connection that closes its cursors before it closes itself.

    One of a cancelled query may live on until garbage is collected, and SQLite keeps a closed connection,
    with its transaction and locks, for as long as that.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors = weakref.WeakSet[sqlite3.Cursor]()

    @override
    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        cursor = super().cursor(factory)
        self._cursors.add(cursor)
        return cursor

    @override
    def close(self) -> None:
        for cursor in tuple(self._cursors):
            cursor.close()
        super().close()


class PrefetchingCursor:
    """Cursor that returns from its connection's thread with its first rows.

    aiosqlite goes there and back four times a statement: for a cursor, its execution, all rows and its
    end. What is fetched to the end at once needs one time.
    """

    def __init__(self, run: Callable[..., Awaitable[Any]], connection: sqlite3.Connection) -> None:
        self._run = run
        self._connection = connection
        self._cursor: sqlite3.Cursor | None = None  # while there are more rows
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._run(self._execute, sqlite3.Cursor.execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> None:
        await self._run(self._execute, sqlite3.Cursor.executemany, statement, parameters)

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        size = self.arraysize if size is None else size
        if not self._rows and self._cursor:
            return await self._run(self._cursor.fetchmany, size)  # type: ignore[no-any-return]
        found, self._rows = self._rows[:size], self._rows[size:]
        return found

    async def fetchall(self) -> list[Any]:
        found, self._rows = self._rows, []
        return found + await self._run(self._cursor.fetchall) if self._cursor else found

    async def close(self) -> None:
        if self._cursor:
            await self._run(self._cursor.close)

    def _execute(self, how: Callable[..., object], statement: str, parameters: Any) -> None:
        cursor = self._connection.cursor()
        how(cursor, statement, parameters)
        self._rows = cursor.fetchmany(PREFETCHED)
        self.description, self.rowcount = cursor.description, cursor.rowcount
        self.lastrowid = cursor.lastrowid
        if len(self._rows) == PREFETCHED:
            self._cursor = cursor
        else:
            cursor.close()


class PrefetchingConnection(aiosqlite.Connection):
    """Connection in a thread of its own, which a process does not wait for, with cursors that prefetch."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, PREFETCHED)
        self._thread.daemon = True

    @override
    def cursor(self) -> Any:
        return PrefetchingCursor(self.run, self._conn)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the connection's thread."""
        return await self._execute(function, *arguments)  # type: ignore[no-untyped-call]


async def connect(path: str, **options: Any) -> aiosqlite.Connection:
    """Open a file; `options` are those of `sqlite3.connect`."""
    return await PrefetchingConnection(partial(sqlite3.connect, path, **options))


def prepare(engine: Engine, *, busy_ms: int = BUSY_MS) -> None:
    """Set up every connection of an engine.

    A connection with the execution option `writes` takes the write lock at its beginning.
    """
    event.listen(engine, "connect", partial(_set_up, busy_ms))
    event.listen(engine, "begin", _begin)


def write_ahead(engine: Engine) -> None:
    """Let every connection of an engine turn the file to a write-ahead log, which the file remembers."""
    event.listen(engine, "connect", _write_ahead)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing file read-only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _set_up(busy_ms: int, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not by guess
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {busy_ms}", *_PRAGMAS):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(connection: Any, _record: object) -> None:
    # Of several at once SQLite turns some away without waiting, so as not to let two wait for each other.
    give_up_at = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(_BUSY_PAUSE_S)
        else:
            return


def _begin(connection: Any) -> None:
    # A read that turns into a write can fail half-way; a write that says so at once only waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
