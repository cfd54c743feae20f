"""A database that is not this hub's, or is new where it should not be: said plainly, and left alone."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from support.commands import towonel
from support.hub_process import running, settings
from support.postgres import Postgres
from support.replicas import on_postgres

from towonel.hub.app import serve
from towonel.hub.backup import backup, check
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.runtime.exit_codes import EXIT_SETTINGS
from towonel.runtime.settings import SettingsError
from towonel.wire.errors import Denied

# Of the original's schema, as far as it shares names with ours.
ORIGINAL = """
    CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY);
    CREATE TABLE entries (tenant_id BLOB, sequence BIGINT, payload_cbor BLOB, signature BLOB);
    CREATE TABLE invites (invite_id BLOB PRIMARY KEY, name TEXT, secret_hash BLOB);
    CREATE TABLE tenant_removals (tenant_id BLOB PRIMARY KEY, removed_at_ms BIGINT);
"""
WHOSE = "is a database of the original Towonel"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A data folder of the original."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "hub.db")) as database:
        database.executescript(ORIGINAL)
    (folder / "node.key").write_bytes(b"k" * 32)
    return folder


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


async def test_a_hub_refuses_the_originals_folder_and_changes_nothing_in_it(theirs: Path) -> None:
    before = content(theirs)
    with pytest.raises(SettingsError, match=f"TOWONEL_DATA_DIR: .*hub.db {WHOSE}"):
        await serve(settings(theirs), asyncio.Event())

    assert content(theirs) == before


def test_serve_refuses_it_before_an_edge_makes_files_there(theirs: Path) -> None:
    before = content(theirs)
    ended = towonel("serve", TOWONEL_DATA_DIR=str(theirs))

    assert ended.exit_code == EXIT_SETTINGS
    assert WHOSE in " ".join(ended.stderr.split())
    assert content(theirs) == before


@pytest.mark.parametrize("command", ["check", "migrate from", "migrate to", "backup"])
def test_commands_say_so_and_change_nothing(theirs: Path, tmp_path: Path, command: str) -> None:
    before = content(theirs)
    their_database = Database.in_file(theirs / "hub.db")
    new = Database.in_file(tmp_path / "new.db")
    calls: dict[str, Callable[[], object]] = {
        "check": lambda: check.problems(their_database),
        "migrate from": lambda: backup.copy_database(their_database, new),
        "migrate to": lambda: backup.copy_database(new, their_database),
        "backup": lambda: backup.write(
            their_database, tmp_path / "file", created_at="", hub_version=""
        ),
    }
    if command == "migrate to":
        upgrade(new)
    with pytest.raises(Denied, match=WHOSE):
        calls[command]()

    assert content(theirs) == before


async def test_a_postgres_of_the_original_is_refused_too(server: Postgres, tmp_path: Path) -> None:
    database = server.database(migrated=False)
    name = str(database.url.database)
    server.execute_in(name, "CREATE TABLE _sqlx_migrations (version BIGINT)")
    server.execute_in(name, "CREATE TABLE invites (invite_id BYTEA)")
    chosen = settings(tmp_path, **on_postgres(server.dsn(name)))

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(chosen, asyncio.Event())
    assert caught.group_contains(SettingsError, match=WHOSE)
    with pytest.raises(Denied, match=WHOSE):
        check.problems(database)


async def test_a_new_database_beside_keys_is_warned_of(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with structlog.testing.capture_logs() as first:
        async with running(chosen):
            pass
    for path in tmp_path.glob("hub.db*"):
        path.unlink()
    with structlog.testing.capture_logs() as second:
        async with running(chosen):
            pass
    with structlog.testing.capture_logs() as third:
        async with running(chosen):
            pass

    warned = [
        [line["event"] for line in lines if line["event"] == "database.new_beside_keys"]
        for lines in (first, second, third)
    ]
    assert warned == [[], ["database.new_beside_keys"], []]
