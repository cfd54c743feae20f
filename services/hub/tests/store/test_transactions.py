"""The database: migrations make what the models say, and writes are whole."""

import asyncio
import contextlib
import itertools
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import QueuePool, create_engine, text
from sqlmodel import SQLModel, select
from support import garbage
from support.cancellation import CancelledAt
from support.hub import TestHub, migrated, running_hub
from support.postgres import Postgres

from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store import agents, routes, tables
from towonel.hub.store.db import database as database_module
from towonel.hub.store.db import sqlite
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import newest_revision, upgrade
from towonel.hub.store.db.transactions import Store, Write
from towonel.hub.store.tables import AgentRow, EdgeRow
from towonel.wire.errors import Code, Unavailable
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route

pytestmark = pytest.mark.both_databases


async def ignore(_write: Write) -> None:
    pass


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
    assert tables.RouteRow.metadata is SQLModel.metadata


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


async def count(hub: TestHub) -> int:
    async with hub.context.store.read() as session:
        return len((await session.exec(select(EdgeRow))).all())


async def test_a_write_that_fails_leaves_nothing_and_announces_nothing(hub: TestHub) -> None:
    async def fail() -> None:
        async with hub.context.store.write() as change:
            change.session.add(edge(1))
            await change.next_revision()
            await change.session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(hub) == 0
    assert hub.context.route_changes.revision == 0


async def test_a_write_is_announced_once_with_its_one_revision(hub: TestHub) -> None:
    async with hub.context.store.write() as change:
        first, second = await change.next_revision(), await change.next_revision()
    async with hub.context.store.write() as change:
        change.session.add(edge(1))

    assert first == second == hub.context.route_changes.revision == 1


async def test_writes_at_the_same_time_all_happen_one_after_the_other(hub: TestHub) -> None:
    async def write(number: int) -> int:
        async with hub.context.store.write() as change:
            change.session.add(edge(number))
            return await change.next_revision()

    async with asyncio.TaskGroup() as tasks:
        revisions = [tasks.create_task(write(number)) for number in range(30)]

    assert sorted(task.result() for task in revisions) == list(range(1, 31))
    assert await count(hub) == 30


async def test_every_connection_of_sqlite_is_set_up(tmp_path: Path) -> None:
    async with running_hub(await migrated(tmp_path / "hub.db"), RouteChanges()) as hub:
        found = [await pragmas(hub.context.store)]
        async with (
            hub.context.store.read(),
            hub.context.store.read(),
            hub.context.store.write_fact(),
        ):
            found.append(await pragmas(hub.context.store))

    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": sqlite.SHORT_BUSY_MS,
        "foreign_keys": 1,
    }
    assert found == [wanted, wanted]


async def pragmas(store: Store) -> dict[str, object]:
    names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    async with store.read() as session:
        connection = await session.connection()
        return {name: await connection.scalar(text(f"PRAGMA {name}")) for name in names}


async def test_there_are_never_more_connections_than_may_be(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Store.open(database, ignore, max_connections=3, max_idle=1) as store,
        contextlib.AsyncExitStack() as held,
    ):
        for _ in range(3):
            await held.enter_async_context(store.read())
        monkeypatch.setattr(store.engine.pool, "_timeout", 0.05)
        with pytest.raises(Unavailable, match="every connection is in use") as caught:
            await held.enter_async_context(store.read())
        await held.aclose()
        pool = store.engine.pool
        assert isinstance(pool, QueuePool)
        retained = pool.checkedin()

    assert caught.value.code is Code.HUB_UNAVAILABLE
    assert retained == 1


async def test_a_write_waits_for_others_no_longer_than_it_may(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hub.context.store.write():
        with monkeypatch.context() as hurried:
            hurried.setattr(hub.context.store, "_begin_s", 0.05)
            with pytest.raises(Unavailable, match="database: busy"):
                async with hub.context.store.write():
                    pytest.fail("two writes at once")
    async with hub.context.store.write() as change:
        change.session.add(edge(1))

    assert await count(hub) == 1


async def test_on_postgres_a_replica_waits_for_another_no_longer_than_it_may(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = database_module._POSTGRES_OPTIONS.replace("lock_timeout=5000", "lock_timeout=50")
    monkeypatch.setattr(database_module, "_POSTGRES_OPTIONS", options)
    shared = server.database()
    async with (
        running_hub(shared, RouteChanges()) as one,
        running_hub(shared, RouteChanges()) as two,
    ):
        async with one.context.store.write():
            with pytest.raises(Unavailable, match="lock timeout") as caught:
                async with two.context.store.write():
                    pytest.fail("two writes at once")
            async with (
                two.context.store.write_fact() as noting
            ):  # what stands alone waits for nobody
                noting.add(edge(1))

        assert await count(one) == 1
    assert caught.value.retry_after_s == 2


@pytest.mark.parametrize(
    ("do", "when_answered"), [("read", False), ("read", True), ("write", False)]
)
async def test_who_leaves_at_any_moment_takes_no_connection_along(
    database: Database, do: str, when_answered: bool
) -> None:
    for step in itertools.count():
        async with Store.open(database, ignore) as store:
            work = CancelledAt(used(store, do), step, when_answered=when_answered)
            await asyncio.wait([asyncio.create_task(work.run())])
            await used(store, do)
            await until_free(store)
        if not work.was_reached:
            break
    garbage.collect()  # which would complain of what is open

    assert step > 2


async def until_free(store: Store) -> None:
    assert isinstance(store.engine.pool, QueuePool)
    async with asyncio.timeout(20):
        while store.engine.pool.checkedout():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("steps", range(1, 5))
async def test_a_store_ends_after_the_close_of_a_session_that_is_cut_off(
    tmp_path: Path, steps: int
) -> None:
    inside = asyncio.Event()

    async def read(store: Store) -> None:
        async with store.read() as reader:
            await routes.get_revision(reader)
            inside.set()
            await asyncio.Event().wait()

    async with Store.open(await migrated(tmp_path / "hub.db"), ignore) as store:
        task = asyncio.create_task(read(store))
        await inside.wait()
        task.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()  # as it closes
        pool = store.engine.pool

    assert isinstance(pool, QueuePool)
    assert (pool.checkedout(), task.cancelled()) == (0, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    garbage.collect()  # which would complain of an open connection


async def test_a_store_that_is_cancelled_as_it_ends_closes_all_the_same(database: Database) -> None:
    async def run() -> None:
        async with Store.open(database, ignore) as store:
            await used(store, "read")

    for steps in range(8):
        task = asyncio.create_task(run())
        while not task.done():
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while asyncio.all_tasks() != {asyncio.current_task()}:  # the driver closes in its own
                await asyncio.sleep(0.001)

    garbage.collect()  # which would complain of an open connection


async def used(store: Store, do: str) -> None:
    if do == "read":
        async with store.read() as reader:
            await routes.get_revision(reader)
    else:
        await store.try_to_write()


async def test_revisions_become_visible_in_their_order_whichever_replica_writes(
    database: Database,
) -> None:
    seen: list[tuple[int, list[int]]] = []
    async with (
        running_hub(database, RouteChanges()) as one,
        running_hub(database, RouteChanges()) as two,
    ):
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(publish(w, n)) for n, w in enumerate([one, two] * 2)]
            while not all(writer.done() for writer in writers):
                seen.append(await visible(one))
        last = await visible(two)

    assert last == (40, list(range(1, 41)))
    assert [revisions for _, revisions in seen] == [list(range(1, at + 1)) for at, _ in seen]
    assert sorted(at for at, _ in seen) == [at for at, _ in seen]


async def publish(hub: TestHub, writer: int) -> None:
    for number in range(10):
        async with hub.context.store.write() as change:
            name = Hostname(f"n{writer}-{number}.eu")
            route = Route(ServiceKind.HTTPS, name, TenantId(b"t" * 32))
            await routes.put(change, route, None)


async def visible(hub: TestHub) -> tuple[int, list[int]]:
    """The revision, and those of all routes."""
    async with hub.context.store.read() as reader:
        at = await routes.get_revision(reader)
        found = await reader.exec(select(tables.RouteRow.revision))
        return at, sorted(found.all())


async def test_a_write_is_announced_when_it_can_be_seen(database: Database) -> None:
    found: list[int] = []

    async def committed(change: Write) -> None:
        async with store.read() as reader:
            found.append(await routes.get_revision(reader) - (change.revision or 0))

    async with Store.open(database, committed) as store:
        for _ in range(3):
            async with store.write() as change:
                await change.next_revision()

    assert found == [0, 0, 0]


async def test_of_replicas_that_note_the_same_at_once_none_fails(database: Database) -> None:
    async with (
        running_hub(database, RouteChanges()) as one,
        running_hub(database, RouteChanges()) as two,
    ):
        for round_ in range(5):
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                for number in range(6):
                    row = agent(bytes([round_]), number)
                    tasks.create_task(note((one, two)[number % 2], row))
        async with one.context.store.read() as reader:
            found = (await reader.exec(select(AgentRow))).all()

    assert len(found) == 5
    assert all(0 <= row.first_seen_ms <= 5 and 0 <= row.last_seen_ms <= 5 for row in found)


def agent(agent_id: bytes, at_ms: int) -> AgentRow:
    return AgentRow(
        agent_id=agent_id, tenant_id=b"t", group="g", first_seen_ms=at_ms, last_seen_ms=at_ms
    )


async def note(hub: TestHub, row: AgentRow) -> None:
    async with hub.context.store.write_fact() as noting:
        await agents.upsert_seen(noting, row)
