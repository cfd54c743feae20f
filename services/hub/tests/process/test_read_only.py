"""A database that takes no writes: reads go on, what is wrong is told, and the way back is found."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from support.hub import TestHub, migrated, running_hub
from support.hub_process import settings
from support.postgres import Postgres
from support.replicas import Replica, on_postgres, ready_until, replicas, retried

from towonel.api.invites import InviteIn
from towonel.hub import background
from towonel.hub.app import serve
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.retention import Retention
from towonel.hub.timing import Timing
from towonel.runtime.admin import Health
from towonel.wire.errors import Code, Unavailable

pytestmark = pytest.mark.both_databases
QUICK = Timing(health_check_s=0.1)


def is_worse(status: int, reasons: dict[str, str]) -> bool:
    return status == 200 and "read-only transaction" in reasons.get("database", "")


def is_well(status: int, reasons: dict[str, str]) -> bool:
    return status == 200 and not reasons


async def refused(replica: Replica) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await replica.change("refused.eu")
    return caught.value


async def test_a_postgres_that_only_reads_is_told_of_and_left_for_one_that_writes(
    server: Postgres, tmp_path: Path
) -> None:
    database = server.database()
    where = on_postgres(server.dsn(str(database.url.database)))
    async with replicas(tmp_path, QUICK, **where) as (one, two):
        await one.change("before.eu")
        await asyncio.to_thread(server.let_write, database, may=False)
        errors = [await refused(one), await refused(two)]
        reported = [await replica.ready_until(is_worse) for replica in (one, two)]
        await one.until("towonel_hub_database_up", 0)
        listed = await two.client.invites.list()
        # Connections of before stay as they were: only new ones can write.
        await asyncio.to_thread(server.let_write, database, may=True)
        for number, replica in enumerate((one, two)):
            await replica.ready_until(is_well)
            after = InviteIn(hostnames=[f"after{number}.eu"])
            await retried(partial(replica.client.invites.create, after))

    assert [(it.code, it.retry_after_s) for it in errors] == [(Code.HUB_UNAVAILABLE, 2)] * 2
    assert all("reads are answered, writes are refused" in it["database"] for _, it in reported)
    assert len(listed.invites) == 1


async def test_a_hub_that_starts_on_a_postgres_that_only_reads_waits_until_it_writes(
    server: Postgres, tmp_path: Path
) -> None:
    database, stopping = server.database(), asyncio.Event()
    where = on_postgres(server.dsn(str(database.url.database)))
    chosen = settings(tmp_path, **where)
    server.let_write(database, may=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(chosen, stopping, QUICK))
        status, reasons = await ready_until(
            chosen, lambda _, reasons: "waiting for it" in str(reasons)
        )
        await asyncio.to_thread(server.let_write, database, may=True)
        await ready_until(chosen, is_well)
        stopping.set()

    assert status == 503
    assert "read-only transaction" in reasons["database"]


@contextlib.contextmanager
def refusing(hub: TestHub, pragma: str) -> Generator[None]:
    """Have SQLite refuse writes on every connection of a hub."""

    def set_to(value: int) -> None:
        def checked_out(connection: Any, *_: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA {pragma} = {value}")
            cursor.close()

        event.listen(hub.context.store.engine, "checkout", checked_out)

    set_to(1)
    yield
    set_to(0 if pragma == "query_only" else 1 << 30)


@contextlib.asynccontextmanager
async def watched(hub: TestHub) -> AsyncGenerator[Health]:
    health = Health()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(background.run(hub.context, health, Retention()))
        yield health
        task.cancel()


@pytest.mark.parametrize(
    ("pragma", "reason"),
    [("query_only", "a readonly database"), ("max_page_count", "disk full")],
)
async def test_a_sqlite_that_takes_no_writes_answers_reads_and_says_why(
    tmp_path: Path, pragma: str, reason: str
) -> None:
    many = InviteIn(hostnames=[f"{number}{'x' * 50}.eu" for number in range(300)])  # new pages
    async with running_hub(await migrated(tmp_path / "hub.db"), RouteChanges()) as hub:
        client = hub.client()
        with refusing(hub, pragma):
            with pytest.raises(Unavailable) as caught:
                await client.invites.create(many)
            trouble = hub.context.store.trouble
            listed = await client.invites.list()
        await client.invites.create(many)

    assert (caught.value.code, caught.value.retry_after_s) == (Code.HUB_UNAVAILABLE, 2)
    assert reason in str(trouble)
    assert listed.invites == []


async def test_readiness_tells_that_sqlite_takes_no_writes_until_it_does(tmp_path: Path) -> None:
    async with (
        running_hub(await migrated(tmp_path / "hub.db"), RouteChanges(), timing=QUICK) as hub,
        watched(hub) as health,
        asyncio.timeout(30),
    ):
        with refusing(hub, "query_only"):
            with pytest.raises(Unavailable):
                await hub.invite("a.eu")
            while "database" not in health.reasons:
                await asyncio.sleep(0.02)
            reported, is_ready = health.reasons["database"], health.ready
        while health.reasons:
            await asyncio.sleep(0.02)
        await hub.invite("a.eu")

    assert reported == (
        "database: attempt to write a readonly database: reads are answered, writes are refused"
    )
    assert is_ready
