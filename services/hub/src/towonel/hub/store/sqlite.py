"""How SQLite is opened: a write-ahead log, and transactions that begin where we say."""

from typing import Any

from sqlalchemy import Engine, event

BUSY_MS = 10_000  # how long a write waits for another process's
_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # what was acknowledged outlives a power cut
    f"busy_timeout = {BUSY_MS}",
    "foreign_keys = ON",
    "cache_size = -16000",  # KiB; the default of 2 MiB reads a table of 100 000 routes in pieces
)


def prepare(engine: Engine) -> None:
    """Set every connection of an engine up.

    A connection with the execution option `writes` takes the write lock at its beginning.
    """
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begin)


def _connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, not by guess
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    # A read that turns into a write can fail half-way; a write that says so at once only waits.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
