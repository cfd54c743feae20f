"""Export and import of all tables: for backups, and to copy from SQLite to Postgres.

Rows travel as plain values under the names of their columns, so what comes from one kind of database, or from
an older hub, goes into another. Tables are read as the database has them: the models describe today's only.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, inspect, select, text, update
from sqlmodel import SQLModel, col

from towonel.hub.store import tables
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import check_known, newest_revision, schema_of, upgrade_to
from towonel.hub.store.db.offline import open_for_writing
from towonel.hub.store.db.revisions import REVISIONS_LOST
from towonel.wire.errors import Code, Denied, ProtocolError
from towonel.wire.routes import TAG_BYTES

assert tables.RouteRow.metadata is SQLModel.metadata, (
    "importing the rows is what fills the metadata"
)
ROWS_AT_ONCE = 500
_SEEDED = {"revision", "revision_tags"}  # a new database has a row in them already
_INTEGERS = range(-(1 << 63), 1 << 63)

type Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a database, from another database or from a backup.

    Args:
        schema: its revision.
        columns: of each table, by its name.
        rows: returns those of a table, their values in the order of its columns.
    """

    schema: str
    columns: Mapping[str, Sequence[str]]
    rows: Callable[[str], Iterable[Row]]


def content_of(connection: Connection) -> Content:
    """Return what an open database holds.

    Raises:
        Denied: INVALID_REQUEST where no hub was ever started on it, or a newer one was.
    """
    schema = schema_of(connection)
    if schema is None:
        raise Denied(Code.INVALID_REQUEST, "the database is empty: no hub was started on it yet")
    check_known(schema)
    found = {table.name: table for table in reflect_tables(connection)}
    columns = {name: table.columns.keys() for name, table in found.items()}
    return Content(schema, columns, lambda name: rows_of(connection, found[name]))


def reflect_tables(connection: Connection) -> list[Table]:
    """Return the hub's tables as they are, in an order in which they can be filled."""
    present = set(inspect(connection).get_table_names())
    names = [table.name for table in SQLModel.metadata.sorted_tables if table.name in present]
    reflected = MetaData()
    reflected.reflect(connection, only=names)
    return [reflected.tables[name] for name in names]


def rows_of(connection: Connection, source: Table) -> Iterator[Row]:
    """Yield all rows of a table, its columns in their order, a part at a time."""
    result = connection.execution_options(stream_results=True).execute(select(*source.columns))
    for part in result.partitions(ROWS_AT_ONCE):
        yield from part


def fill(database: Database, content: Content, *, undoes: bool = False) -> Mapping[str, int]:
    """Fill a new database, all of it or nothing, and bring it to the newest schema.

    Args:
        database: which one; its tables may be there, but nothing in them.
        content: what goes into it.
        undoes: whether edges may have seen what came after this content. They are given the whole
            table then, and never a revision that they know with another meaning.

    Returns:
        The number of rows of each table.

    Raises:
        Denied: INVALID_REQUEST where the database has rows, or the content is of a newer hub.
        ProtocolError: MALFORMED for content that does not fit its schema.
    """
    with open_for_writing(database) as connection:
        _check_empty(connection)
        if schema_of(connection) not in {None, content.schema}:
            _drop(connection)
        upgrade_to(connection, content.schema)
        targets = reflect_tables(connection)
        if set(content.columns) != {target.name for target in targets}:
            raise ProtocolError(Code.MALFORMED, f"not the tables of schema {content.schema}")
        counts = {target.name: _fill(connection, target, content) for target in targets}
        upgrade_to(connection, newest_revision())
        _go_on_counting(connection, undoes=undoes)
    return counts


def _fill(connection: Connection, target: Table, content: Content) -> int:
    names = content.columns[target.name]
    if sorted(names) != sorted(target.columns.keys()):
        raise ProtocolError(Code.MALFORMED, f"not the columns of {target.name}: {names}")
    kinds = [(target.c[name].type.python_type, bool(target.c[name].nullable)) for name in names]
    if target.name in _SEEDED:
        connection.execute(target.delete())
    count = 0
    for part in batched(content.rows(target.name), ROWS_AT_ONCE, strict=False):
        if not all(_fits(row, kinds) for row in part):
            raise ProtocolError(Code.MALFORMED, f"a row that is none of {target.name}")
        connection.execute(insert(target), [dict(zip(names, row, strict=True)) for row in part])
        count += len(part)
    return count


def _fits(row: Row, kinds: Sequence[tuple[type, bool]]) -> bool:
    return len(row) == len(kinds) and all(
        nullable
        if value is None
        else type(value) is kind and (kind is not int or value in _INTEGERS)
        for value, (kind, nullable) in zip(row, kinds, strict=True)
    )


def _check_empty(connection: Connection) -> None:
    """Check that there is nothing yet that a copy would mix with."""
    for target in reflect_tables(connection):
        if target.name in _SEEDED:
            continue
        if connection.execute(select(1).select_from(target).limit(1)).first() is not None:
            raise Denied(
                Code.INVALID_REQUEST, f"the database is not empty: {target.name} has rows already"
            )


def _drop(connection: Connection) -> None:
    """Drop the hub's tables, which are empty and of another schema."""
    for target in reversed(reflect_tables(connection)):
        target.drop(connection)
    connection.execute(text("DROP TABLE alembic_version"))


def _go_on_counting(connection: Connection, *, undoes: bool) -> None:
    """Let numbers that the database gives go on after those that were copied."""
    if connection.dialect.name == "postgresql":
        newest = select(func.coalesce(func.max(tables.AuditRow.id), 0) + 1).scalar_subquery()
        sequence = func.pg_get_serial_sequence("audit", "id")
        connection.execute(select(func.setval(sequence, newest, False)))
    if undoes:
        value = tables.RevisionRow.value + REVISIONS_LOST
        connection.execute(update(tables.RevisionRow).values(value=value, pruned=value))
        now = connection.scalar(select(col(tables.RevisionRow.value)))
        tag = {"revision": now, "tag": secrets.token_bytes(TAG_BYTES)}
        connection.execute(insert(tables.RevisionTagRow).values(tag))
