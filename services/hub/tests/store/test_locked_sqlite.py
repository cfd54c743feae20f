"""A SQLite file that another process has locked: each write is answered in its time."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from support.hub import TestHub, migrated, running_hub

from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.timing import Timing
from towonel.wire.errors import Code, Unavailable

BEGIN_S = 1.0
pytestmark = pytest.mark.both_databases


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncGenerator[TestHub]:
    database, timing = await migrated(tmp_path / "hub.db"), Timing(database_begin_s=BEGIN_S)
    async with running_hub(database, RouteChanges(), timing=timing) as hub:
        yield hub


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Lock a file as another program does that writes; a commit gives it back before the end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield other


async def test_each_of_many_writes_is_refused_when_its_own_time_is_over(
    on_sqlite: TestHub, tmp_path: Path
) -> None:
    async def refused() -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            await on_sqlite.invite("a.eu")
        return caught.value

    with locked(tmp_path / "hub.db"):
        # A driver that waits in its thread would answer the second after five seconds, and more.
        async with asyncio.timeout(4 * BEGIN_S), asyncio.TaskGroup() as tasks:
            requested = [tasks.create_task(refused()) for _ in range(10)]
        listed = await on_sqlite.client().invites.list()

    assert {task.result().code for task in requested} == {Code.HUB_UNAVAILABLE}
    assert listed.invites == []


async def test_writes_that_wait_happen_once_the_file_is_free(
    on_sqlite: TestHub, tmp_path: Path
) -> None:
    with locked(tmp_path / "hub.db") as other:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(on_sqlite.invite(f"n{number}.eu"))
            await asyncio.sleep(0)
            other.execute("COMMIT")

    assert len((await on_sqlite.client().invites.list()).invites) == 5


async def test_no_connection_is_lost_by_trying_again(on_sqlite: TestHub, tmp_path: Path) -> None:
    store = on_sqlite.context.store
    with locked(tmp_path / "hub.db"), pytest.raises(Unavailable):
        async with store.write():
            pass

    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined] # of a queue


@pytest.mark.parametrize(
    "query", ["INSERT INTO numbers VALUES (1), (2) RETURNING number", "SELECT * FROM numbers"]
)
def test_a_connection_that_closes_leaves_no_lock_behind_an_open_cursor(
    tmp_path: Path, query: str
) -> None:
    path = tmp_path / "hub.db"
    options = Database.in_file(path).engine_options["connect_args"]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE numbers AS SELECT 8 AS number UNION SELECT 9")
        ended = sqlite3.connect(path, isolation_level=None, **options)
        cursor = ended.cursor().execute("BEGIN IMMEDIATE").execute(query)
        assert cursor.fetchone() is not None
        ended.close()

        other.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN EXCLUSIVE")
        assert other.execute("SELECT * FROM numbers").fetchall() == [(8,), (9,)]
        del cursor
