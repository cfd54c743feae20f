"""Set-up of SQLite connections: a write-ahead log, and transactions that begin explicitly."""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

BUSY_MS = 5_000  # how long a write waits for another process's
SHORT_BUSY_MS = 250  # where the waiting blocks a thread, and the caller tries again
_PRAGMAS = (
    "synchronous = FULL",  # what was acknowledged outlives a power cut
    "foreign_keys = ON",
    "cache_size = -16000",  # KiB; the default of 2 MiB reads a table of 100 000 routes in pieces
)


def prepare(engine: Engine, *, read_only: bool = False, busy_ms: int = BUSY_MS) -> None:
    """Set up every connection of an engine.

    A connection with the execution option `writes` takes the write lock at its beginning.
    """
    event.listen(engine, "connect", partial(_set_up, busy_ms))
    if not read_only:
        event.listen(engine, "connect", _keep_log)
    event.listen(engine, "begin", _begin)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing file read-only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _set_up(busy_ms: int, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not by guess
    cursor = connection.cursor()
    # First how long to wait: turning the log on can wait for others, too.
    for pragma in (f"busy_timeout = {busy_ms}", *_PRAGMAS):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _keep_log(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _begin(connection: Any) -> None:
    # A read that turns into a write can fail half-way; a write that says so at once only waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
