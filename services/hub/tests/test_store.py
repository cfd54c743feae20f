"""The database: migrations make what the models say, and writes are whole."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlmodel import SQLModel, select
from worlds.hub import World, migrated, opened
from worlds.postgres import Postgres

from towonel.hub.feed import Bell
from towonel.hub.store import rows
from towonel.hub.store.database import Database
from towonel.hub.store.migrate import newest_revision, upgrade
from towonel.hub.store.rows import EdgeRow
from towonel.wire.errors import Code, Unavailable


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_empty_database_becomes_what_the_models_say(
    kind: str, tmp_path: Path, server: Postgres
) -> None:
    in_file = Database.in_file(tmp_path / "hub.db")
    empty = in_file if kind == "sqlite" else server.database(migrated=False)
    upgrade(empty)
    upgrade(empty)

    engine = create_engine(empty.blocking_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert context.get_current_revision() == newest_revision()
    engine.dispose()
    assert rows.RouteRow.metadata is SQLModel.metadata


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    upgrade(Database.in_file(tmp_path / "new" / "hub.db"))

    path = tmp_path / "new" / "hub.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def edge(number: int) -> EdgeRow:
    return EdgeRow(
        edge_id=bytes([number]),
        addresses="[]",
        certificate_pem="",
        certificate_sha256=b"",
        version="",
        last_seen_ms=0,
    )


async def count(world: World) -> int:
    async with world.hub.store.read() as session:
        return len((await session.exec(select(EdgeRow))).all())


async def test_a_write_that_fails_leaves_nothing_and_rings_for_nothing(world: World) -> None:
    async def fail() -> None:
        async with world.hub.store.write() as change:
            change.session.add(edge(1))
            await change.next_revision()
            await change.session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(world) == 0
    assert world.hub.bell.revision == 0


async def test_a_write_rings_once_with_its_one_revision(world: World) -> None:
    async with world.hub.store.write() as change:
        first, second = await change.next_revision(), await change.next_revision()
    async with world.hub.store.write() as change:
        change.session.add(edge(1))

    assert first == second == world.hub.bell.revision == 1


async def test_writes_at_the_same_time_all_happen_one_after_the_other(world: World) -> None:
    async def write(number: int) -> int:
        async with world.hub.store.write() as change:
            change.session.add(edge(number))
            return await change.next_revision()

    async with asyncio.TaskGroup() as tasks:
        revisions = [tasks.create_task(write(number)) for number in range(30)]

    assert sorted(task.result() for task in revisions) == list(range(1, 31))
    assert await count(world) == 30


async def test_a_database_that_is_locked_is_unavailable_and_not_a_crash(
    tmp_path: Path,
) -> None:
    async with opened(await migrated(tmp_path / "hub.db"), Bell()) as world:
        await _locked(world, tmp_path)


async def _locked(world: World, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with world.hub.store.read() as session:
        raw = await (await session.connection()).get_raw_connection()
        await raw.driver_connection.execute("PRAGMA busy_timeout = 10")  # type: ignore[union-attr]

    with pytest.raises(Unavailable) as caught:
        async with world.hub.store.write():
            pass
    other.execute("ROLLBACK")
    other.close()
    assert caught.value.code is Code.HUB_UNAVAILABLE
