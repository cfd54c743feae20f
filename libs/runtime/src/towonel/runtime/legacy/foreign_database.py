"""Detection of a database that another program made, such as the original Towonel."""

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path

_OURS = "alembic_version"
_ORIGINAL = "_sqlx_migrations"
_MAX_NAMES = 5


def describe_foreign_file(path: Path) -> str | None:
    """Return whose database a SQLite file is, if it is not ours; it and its folder stay as they are."""
    tables = _tables_in(path)
    return describe_foreign(tables, tables)


def describe_foreign(tables: Collection[str], ours: Collection[str]) -> str | None:
    """Return whose database it is, if it is not ours: it has tables of our names, and no schema of ours.

    Args:
        tables: in the database.
        ours: names that we would use, too.
    """
    taken = sorted(set(tables) & set(ours))
    if _OURS in tables or not taken:
        return None
    if _ORIGINAL in tables:
        return (
            "is a database of the original Towonel, and this version cannot take it over; it is left as"
            " it is. Start with an empty data folder, or name another database"
        )
    some = ", ".join(taken[:_MAX_NAMES])
    return f"is a database of another program, with the tables {some}; it is left as it is"


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:  # whoever uses the file says what is wrong with it
        return False


def _tables_in(path: Path) -> set[str]:
    if not _has_content(path):
        return set()
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not any(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-journal")):
        uri += "&immutable=1"  # nobody writes to it; else SQLite would make files beside it
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            return {str(name) for (name,) in connection.execute(query)}
    except sqlite3.Error:  # the same
        return set()
