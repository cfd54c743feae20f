"""Cursors of SQLite that prefetch: rows, counts and ends are those of a cursor that does not."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from towonel.hub.store.db import sqlite
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.sqlite import PREFETCHED, PrefetchingConnection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncGenerator[AsyncConnection]:
    database = Database.in_file(tmp_path / "hub.db")
    engine = database.create_engine(max_connections=1, max_idle=1, begin_s=1, answer_s=1)
    async with engine.connect() as made:
        await made.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
        yield made
    await engine.dispose()


async def fill(connection: AsyncConnection, count: int) -> int:
    rows = [{"number": number} for number in range(count)]
    inserted = await connection.execute(text("INSERT INTO numbers VALUES (:number)"), rows)
    return inserted.rowcount


NUMBERS = text("SELECT number FROM numbers ORDER BY number")
COUNTS = pytest.mark.parametrize("count", [1, PREFETCHED - 1, PREFETCHED, 3 * PREFETCHED + 1])


@COUNTS
async def test_all_rows_come_in_order(connection: AsyncConnection, count: int) -> None:
    inserted = await fill(connection, count)

    found = await connection.scalars(NUMBERS)

    assert (inserted, found.all()) == (count, list(range(count)))


@COUNTS
async def test_a_stream_has_all_rows_and_may_be_left_before(
    connection: AsyncConnection, count: int
) -> None:
    await fill(connection, count)

    async with connection.stream(NUMBERS) as rows:
        found = [number async for (number,) in rows]
    async with connection.stream(NUMBERS) as rows:
        first = await rows.fetchone()
    await connection.execute(text("DROP TABLE numbers"))  # which an open cursor would lock

    assert found == list(range(count))
    assert first == (0,)


async def test_what_a_statement_changed_is_counted(connection: AsyncConnection) -> None:
    await fill(connection, 5)

    changed = await connection.execute(text("UPDATE numbers SET number = number + 9"))
    added = await connection.execute(text("INSERT INTO numbers VALUES (77)"))

    assert (changed.rowcount, added.lastrowid) == (5, 77)
    assert (await connection.execute(NUMBERS)).keys() == {"number"}


async def test_a_statement_that_fails_says_why_and_leaves_no_lock(
    connection: AsyncConnection,
) -> None:
    await fill(connection, 5)

    with pytest.raises(OperationalError, match="integer overflow"):
        await connection.execute(text("SELECT abs(-9223372036854775808) FROM numbers"))
    await connection.execute(text("DROP TABLE numbers"))


async def test_a_cursor_that_is_closed_locks_nothing(tmp_path: Path) -> None:
    connection: Any = await sqlite.connect(str(tmp_path / "hub.db"))
    cursor = connection.cursor()
    await cursor.execute("CREATE TABLE numbers (number)")
    await cursor.executemany("INSERT INTO numbers VALUES (?)", [(1,)] * (PREFETCHED + 1))
    await cursor.execute("SELECT number FROM numbers")
    await cursor.close()

    await connection.cursor().execute("DROP TABLE numbers")
    await connection.close()


async def test_a_statement_goes_to_the_thread_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[object] = []
    run = PrefetchingConnection.run

    async def count(self: PrefetchingConnection, *arguments: Any) -> object:
        trips.append(arguments)
        return await run(self, *arguments)

    monkeypatch.setattr(PrefetchingConnection, "run", count)
    database = Database.in_file(tmp_path / "hub.db")
    engine = database.create_engine(max_connections=1, max_idle=1, begin_s=1, answer_s=1)
    async with engine.connect() as connection:
        trips.clear()
        assert await connection.scalar(text("SELECT 1")) == 1
    await engine.dispose()

    assert len(trips) == 2, "BEGIN, and the statement"
