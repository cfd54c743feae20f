"""Migrations: from the first tables to today's with all that was in them, by one hub of many."""

import contextlib
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, select, text
from sqlmodel import SQLModel
from support import fork_server
from support.postgres import Postgres
from support.schema_0001 import FIRST, make_first

from towonel.hub.backup import check, copy
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import newest_revision, upgrade, upgrade_to
from towonel.hub.store.db.offline import open_for_writing, open_read_only
from towonel.wire.errors import Code, Denied

pytestmark = pytest.mark.both_databases


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Database.in_file(tmp_path / "hub.db")
    server: Postgres = request.getfixturevalue("server")
    return server.database(migrated=False)


def all_rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def differences(connection: Connection) -> list[Any]:
    """What a migration would have to do for the models."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    found: list[Any] = compare_metadata(context, SQLModel.metadata)
    return found


def read_all(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables, which are those of the models."""
    with open_read_only(database) as connection:
        assert differences(connection) == []
        tables = copy.reflect_tables(connection)
        return {table.name: all_rows(connection, table) for table in tables}


def test_a_database_of_the_first_hub_becomes_todays_with_all_that_was_in_it(
    empty: Database,
) -> None:
    make_first(empty)
    upgrade(empty)

    found = read_all(empty)
    for name, wanted in FIRST.items():
        retained = [{column: row[column] for column in wanted[0]} for row in found[name]]
        assert sorted(retained, key=repr) == sorted(wanted, key=repr)
    assert {row["pattern"]: row["parent"] for row in found["invite_hostnames"]} == {
        "app.example.eu": "*.example.eu",
        "*.b.eu": None,
        "example.eu": None,
        "x.y.z.eu": "*.y.z.eu",
    }
    assert {row["version"] for row in found["invites"]} == {1}
    assert [row["status"] for row in found["invites"] if row["used_at_ms"]] == ["pending"]
    assert [row["created_at_ms"] for row in found["services"]] == [0]
    assert [row["lifted"] for row in found["blocked_tenants"]] == [False]
    assert check.problems(empty) == []


def test_the_first_tables_are_all_tried(tmp_path: Path) -> None:
    database = Database.in_file(tmp_path / "hub.db")
    with open_for_writing(database) as connection:
        upgrade_to(connection, "0001")
        present = {table.name for table in copy.reflect_tables(connection)}

    assert present == set(FIRST)


def test_a_database_of_a_newer_hub_is_refused_by_its_number(empty: Database) -> None:
    upgrade(empty)
    with open_for_writing(empty) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Denied, match="schema '9999' is of a newer hub") as caught:
        upgrade(empty)
    assert caught.value.code is Code.INVALID_REQUEST
    assert newest_revision() in caught.value.detail
    assert check.problems(empty)[0].startswith("schema: it has revision 9999")


def test_hubs_that_boot_at_once_migrate_once_and_all_come_up(empty: Database) -> None:
    make_first(empty)
    with ProcessPoolExecutor(6, mp_context=fork_server.context()) as processes:
        revisions = set(processes.map(fork_server.boot, [fork_server.url_of(empty)] * 6))

    assert revisions == {newest_revision()}
    assert check.problems(empty) == []
    with open_read_only(empty) as connection:
        counts = {t.name: len(all_rows(connection, t)) for t in copy.reflect_tables(connection)}
    assert {name: counts[name] for name in FIRST} == {
        name: len(rows) for name, rows in FIRST.items()
    }


def test_an_old_database_that_somebody_copied_without_its_log_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    make_first(Database.in_file(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    upgrade(Database.in_file(path))

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_runs_migrations_imports_nothing_that_colours_code() -> None:
    assert sys.modules["mako.ext.pygmentplugin"] is None
