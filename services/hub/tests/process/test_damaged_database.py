"""A database with something broken in it: the hub says what, and does all that can be done without."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from support.hub import state, tenant_of
from support.hub_process import running, settings
from support.postgres import Postgres
from support.replicas import on_postgres, ready_until

from towonel.api.invites import InviteIn
from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.background import Task, repeat
from towonel.hub.key_files import load_keys
from towonel.hub.settings import HubSettings
from towonel.hub.timing import Timing
from towonel.runtime.admin import Health
from towonel.runtime.lifecycle import GiveUp
from towonel.wire.errors import Code, Unavailable
from towonel.wire.tokens import InviteToken

QUICK = Timing(health_check_s=0.1, maintenance_s=0.1)


def break_pages(path: Path, name: str) -> None:
    """Overwrite the first page of a table or an index, as a failing disk does."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = database.execute(query, [name]).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


async def publish(client: HubClient, hostname: str) -> int:
    created = await client.invites.create(InviteIn(hostnames=[hostname]))
    tenant = tenant_of(InviteToken.decode(created.token))
    return (await client.apply_desired_state(tenant, state(hostname))).revision


async def has_routes(chosen: HubSettings, client: HubClient) -> list[str]:
    """Ask for the routes as the hub's own edge does."""
    delta = await client.follow_routes(load_keys(chosen).node, None)
    return [route.name for route in delta.routes]


async def test_broken_pages_of_one_table_end_nothing_and_are_told(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    async with running(chosen, QUICK) as client:
        await publish(client, "a.eu")
    break_pages(tmp_path / "hub.db", "ix_idempotent_answers_created_at_ms")
    async with running(chosen, QUICK) as client:
        status, reasons = await ready_until(chosen, lambda _status, said: "retention" in said)
        routed = await has_routes(chosen, client)
        await publish(client, "b.eu")
        again, _ = await ready_until(chosen, lambda _status, said: "retention" in said)

    assert (status, again) == (200, 200)
    assert reasons["retention"] == "database: database disk image is malformed"
    assert routed == ["a.eu"]


async def test_a_database_that_is_broken_throughout_ends_the_hub_as_no_mistake_in_the_settings(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path)
    async with running(chosen, QUICK):
        pass
    break_pages(tmp_path / "hub.db", "alembic_version")

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(chosen, asyncio.Event())
    assert caught.group_contains(
        GiveUp, match=r"hub\.db: database disk image is malformed: restore"
    )


@contextlib.contextmanager
def without_right(server: Postgres, name: str, table: str) -> Iterator[None]:
    server.execute_in(name, f"REVOKE ALL ON {table} FROM limited")
    yield
    server.execute_in(name, f"GRANT ALL ON {table} TO limited")


async def test_a_right_that_postgres_takes_away_is_told_until_it_is_given_back(
    server: Postgres, tmp_path: Path
) -> None:
    name = str(server.database().url.database)
    server.execute("CREATE ROLE limited LOGIN PASSWORD 'secret'")
    for what in ("TABLES", "SEQUENCES"):
        server.execute_in(name, f"GRANT ALL ON ALL {what} IN SCHEMA public TO limited")
    dsn = server.dsn(name).replace("towonel:", "limited:")
    chosen = settings(tmp_path, **on_postgres(dsn))
    async with running(chosen, QUICK) as client:
        await publish(client, "a.eu")
        with without_right(server, name, "nonces"):
            status, reasons = await ready_until(chosen, lambda _status, said: "retention" in said)
            with pytest.raises(Unavailable) as caught:
                await publish(client, "b.eu")
            routed = await has_routes(chosen, client)
        await ready_until(chosen, lambda _status, said: not said)
        await publish(client, "c.eu")

    assert status == 200
    assert reasons["retention"] == "database: permission denied for table nonces"
    assert caught.value.code is Code.HUB_UNAVAILABLE
    assert routed == ["a.eu"]


async def test_whatever_a_background_task_raises_is_reported_once_and_it_goes_on() -> None:
    health, ends = Health(), iter([KeyError("x"), KeyError("x"), None, OSError("y")])
    reasons: list[str | None] = []
    finished = asyncio.Event()

    async def work() -> float:
        reasons.append(health.reasons.get("task"))
        if (end := next(ends, finished)) is finished:
            finished.set()
        elif isinstance(end, Exception):
            raise end
        return 0

    with structlog.testing.capture_logs() as logged:
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(repeat(Task("task", work, 0), health, retry_s=0))
            await finished.wait()
            task.cancel()

    failed = "failed: KeyError"
    assert reasons[:5] == [None, failed, failed, None, "failed: OSError"]
    events = [line["event"] for line in logged]
    assert events[:3] == ["background.failed", "background.recovered", "background.failed"]


async def test_a_task_that_works_leaves_what_it_reported_under_its_own_name() -> None:
    health, rounds = Health(), asyncio.Queue[None]()

    async def check() -> float:
        await rounds.put(None)
        health.set_degraded("database", reason="writes are refused")
        return 0

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(repeat(Task("database", check, 0), health, retry_s=0))
        for _ in range(3):
            await rounds.get()
        degraded = health.degraded
        watch.cancel()

    assert degraded == {"database": True}
