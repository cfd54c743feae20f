"""All tables of a database, out and in again: for backups, and from SQLite to Postgres.

A copy is one transaction on either side: a consistent state out, all of it or nothing in. Rows travel as
plain values, so what comes from one kind of database goes into the other.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import batched
from typing import Any, cast

from sqlalchemy import (
    Connection,
    Table,
    column,
    create_engine,
    func,
    insert,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from towonel.hub.store import rows
from towonel.hub.store.database import Database
from towonel.wire.errors import Code, Denied

assert rows.RouteRow.metadata is SQLModel.metadata, "importing the rows is what fills the metadata"
ROWS_AT_ONCE = 500
_SEEDED = "revision"  # a new database has its one row already

type Row = Sequence[Any]


def tables() -> list[Table]:
    """Return the tables in an order in which they can be filled."""
    return list(SQLModel.metadata.sorted_tables)


@contextlib.contextmanager
def reading(database: Database) -> Generator[Connection]:
    """Open a database at one consistent state; writers go on meanwhile."""
    engine = create_engine(database.blocking_url, poolclass=NullPool, **database.engine_options)
    database.prepare(engine)
    level = {} if database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
    try:
        with engine.connect().execution_options(**level) as connection, connection.begin():
            if not database.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def writing(database: Database) -> Generator[Connection]:
    """Open a database for one write, kept at the end or not at all."""
    engine = create_engine(database.blocking_url, poolclass=NullPool, **database.engine_options)
    database.prepare(engine)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not database.is_sqlite:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection
    finally:
        engine.dispose()


def schema_of(connection: Connection) -> str:
    """Return the revision of a database's schema."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def columns_of(source: Table) -> list[str]:
    """Return the names of a table's columns, in the order of `rows_of`."""
    return [item.name for item in source.columns]


def rows_of(connection: Connection, source: Table) -> Iterator[Row]:
    """Yield all rows of a table, its columns in their order, a part at a time."""
    result = connection.execution_options(stream_results=True).execute(select(*source.columns))
    for part in result.partitions(ROWS_AT_ONCE):
        yield from (tuple(_plain(value) for value in row) for row in part)


def fill(connection: Connection, name: str, columns: Sequence[str], found: Iterable[Row]) -> int:
    """Write rows into an empty table, which may be of an older schema; returns how many."""
    target = table(name, *map(column, columns))
    if name == _SEEDED:
        connection.execute(target.delete())
    count = 0
    for part in batched(found, ROWS_AT_ONCE, strict=False):
        connection.execute(insert(target), [dict(zip(columns, row, strict=True)) for row in part])
        count += len(part)
    return count


def check_empty(connection: Connection, names: Iterable[str]) -> None:
    """Check that there is nothing yet that a copy would mix with.

    Raises:
        Denied: INVALID_REQUEST naming the first table that has rows.
    """
    for name in names:
        if name == _SEEDED:
            continue
        if connection.execute(select(func.count()).select_from(table(name))).scalar_one():
            raise Denied(
                Code.INVALID_REQUEST, f"the database is not empty: {name} has rows already"
            )


def go_on_counting(connection: Connection) -> None:
    """Let numbers that the database gives go on after those that were copied."""
    if connection.dialect.name == "postgresql" and inspect(connection).has_table("audit"):
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('audit', 'id'),"
                " (SELECT coalesce(max(id), 0) + 1 FROM audit), false)"
            )
        )


def _plain(value: object) -> object:
    if isinstance(value, memoryview):
        return cast("memoryview[int]", value).tobytes()
    return value
