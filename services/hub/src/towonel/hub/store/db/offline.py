"""Blocking connections outside the hub's pool: for migrations, backups, copies and checks.

Each is one transaction: it reads one consistent state, or writes all or nothing.
"""

import contextlib
import os
from collections.abc import Generator

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from towonel.hub.store.db import sqlite
from towonel.hub.store.db.database import Database
from towonel.runtime.legacy.foreign_database import describe_foreign, describe_foreign_file
from towonel.wire.errors import Code, Denied

_LOCK = 0x746F776F  # advisory lock of Postgres, for migrations and restores: "towo"
# A copy of millions of rows takes its time, and may pause between two of them.
_NO_TIMEOUTS = """
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0
"""


def check_file(database: Database) -> None:
    """Check that a SQLite file, if there is one, may be read and is not another program's.

    Raises:
        Denied: INVALID_REQUEST, with what is in the way, or whose it is.
    """
    path = database.path
    if path is None:
        return
    if os.access(path, os.F_OK) and not os.access(path, os.R_OK):
        raise Denied(Code.INVALID_REQUEST, f"{path} may not be read by this user ({os.geteuid()})")
    if (whose := describe_foreign_file(path)) is not None:
        raise Denied(Code.INVALID_REQUEST, f"{path} {whose}")


def _check_tables(connection: Connection) -> None:
    """Check the same of a server's database."""
    present = inspect(connection).get_table_names()
    whose = describe_foreign(present, SQLModel.metadata.tables)
    if whose is not None:
        raise Denied(Code.INVALID_REQUEST, f"{connection.engine.url.database} {whose}")


@contextlib.contextmanager
def open_read_only(database: Database) -> Generator[Connection]:
    """Open a database read-only, at one consistent state; writers go on meanwhile.

    Raises:
        Denied: INVALID_REQUEST where SQLite has no such file, or it is another program's.
    """
    path = database.path
    if path is not None and not path.is_file():
        raise Denied(Code.INVALID_REQUEST, f"{path}: there is no such database")
    check_file(database)
    options = database.engine_options
    if path is None:
        options["isolation_level"] = "REPEATABLE READ"
    else:
        options["creator"] = lambda: sqlite.connect_read_only(path)
    engine = create_engine(database.blocking_url, poolclass=NullPool, **options)
    database.prepare(engine)
    try:
        with engine.connect() as connection, connection.begin():
            if path is None:
                connection.execute(text(_NO_TIMEOUTS))
                _check_tables(connection)
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def open_for_writing(database: Database) -> Generator[Connection]:
    """Open a database for one transaction, committed at the end; no two of them overlap.

    A missing file of SQLite is created, for its owner only.

    Raises:
        Denied: INVALID_REQUEST where the database is another program's; it stays as it is.
    """
    path = database.path
    check_file(database)
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    options = database.engine_options
    engine = create_engine(database.blocking_url, poolclass=NullPool, **options)
    database.prepare(engine)
    if path is not None:
        sqlite.write_ahead(engine)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if path is None:
                connection.execute(text(_NO_TIMEOUTS))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                _check_tables(connection)
            yield connection
    finally:
        engine.dispose()
