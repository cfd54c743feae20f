"""Set-up of SQLite connections: a write-ahead log, and transactions that begin explicitly."""

import sqlite3
import time
import weakref
from functools import partial
from pathlib import Path
from typing import Any, override

from sqlalchemy import Engine, event

from towonel.hub.store.db.errors import is_locked

BUSY_MS = 5_000  # how long a write waits for another process's
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
