"""Databases of other programs: they are named, and nothing happens to them."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from towonel.runtime.legacy.foreign_database import describe_foreign, describe_foreign_file

ORIGINAL = ("_sqlx_migrations", "entries", "invites", "tenant_removals")


def make(path: Path, *tables: str, journal: str = "DELETE") -> Path:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        for table in tables:
            database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        database.commit()
    return path


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_database_of_the_original_is_named_and_left_as_it_is(
    tmp_path: Path, journal: str
) -> None:
    path = make(tmp_path / "hub.db", *ORIGINAL, journal=journal)
    before = path.read_bytes()

    assert "the original Towonel" in str(describe_foreign_file(path))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["hub.db"]


def test_one_that_is_open_elsewhere_is_read_with_its_log(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        for table in ORIGINAL:
            database.execute(f"CREATE TABLE {table} (id)")

        assert "the original Towonel" in str(describe_foreign_file(path))


def test_any_other_program_is_told_by_its_tables(tmp_path: Path) -> None:
    path = make(tmp_path / "hub.db", *(f"t{number}" for number in range(9)))

    assert describe_foreign_file(path) == (
        "is a database of another program, with the tables t0, t1, t2, t3, t4; it is left as it is"
    )


@pytest.mark.parametrize("content", [None, b"", b"no database" * 100])
def test_what_is_no_database_is_nobodys(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "hub.db"
    if content is not None:
        path.write_bytes(content)

    assert describe_foreign_file(path) is None


def test_ours_and_a_server_that_others_use_too_are_no_others() -> None:
    assert describe_foreign(["alembic_version", "invites"], ["invites"]) is None
    assert describe_foreign(["their_table"], ["invites"]) is None
    assert describe_foreign(["their_table", "invites"], ["invites"]) is not None
