"""Backups: one moment of a hub in use, into a new database of either kind; moves from SQLite to Postgres."""

import asyncio
import hashlib
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from support import large_database
from support.hub import (
    TestHub,
    hub_with_keys,
    migrated,
    new_key,
    registration,
    running_hub,
    state,
    tenant_of,
)
from support.legacy_client import legacy_client
from support.postgres import Postgres
from support.schema_0001 import FIRST, make_first

from towonel.api.invites import InviteIn
from towonel.api.keys import KeyIn
from towonel.api.ports import ReservationIn
from towonel.hub.backup import backup, check, copy
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_for_writing, open_read_only
from towonel.hub.store.tables import CertificateRequestRow, ReportRow
from towonel.wire.errors import Code, Denied, ProtocolError

WRITES = ("invite.created", "services.published")
KEYS = {"node.key": b"n" * 32, "operator.key": b"hush"}
type Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def other(database: Database, server: Postgres, tmp_path: Path) -> Database:
    """A new database of the other kind."""
    in_file = Database.in_file(tmp_path / "other" / "hub.db")
    return server.database(migrated=False) if database.is_sqlite else in_file


def save(database: Database, path: Path, **keys: Any) -> Mapping[str, int]:
    return backup.write(database, path, created_at="2026-01-01T00:00:00Z", hub_version="1", **keys)


def rows_in(database: Database) -> Rows:
    with open_read_only(database) as connection:
        content = copy.content_of(connection)
        found = {name: [tuple(row) for row in content.rows(name)] for name in content.columns}
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def but_revision(rows: Rows) -> Rows:
    return {name: found for name, found in rows.items() if not name.startswith("revision")}


async def populate(hub: TestHub) -> str:
    """Something in every table, as the API puts it there; returns what was created with a key."""
    client, token, agent = hub.client(), await hub.invite("a.eu", "*.b.eu"), new_key()
    tenant_id = tenant_of(token).tenant_id
    await client.register_edge(hub.context.keys.node, registration(hub.context.keys.node))
    await client.edge_invites.create("second")
    await client.bootstrap(token, agent, "g")
    await client.apply_desired_state(tenant_of(token), state("a.eu", "x.b.eu"))
    await client.apply_desired_state(tenant_of(token), state("a.eu"))
    await client.ports.reserve(
        ReservationIn(protocol="udp", first_port=3000, last_port=3009, tenant_id=tenant_id)
    )
    await client.keys.create(KeyIn(name="k", role="viewer"))
    once = await client.invites.create(InviteIn(hostnames=["once.eu"]), idempotency_key="once")
    await client.tenants.remove(once.tenant_id)
    async with legacy_client(hub) as theirs:
        key = await theirs.tenant("c.eu")
        await theirs.accept(key, 1, "upsert_agent", agent_id=new_key().public)
    return once.invite_id


async def test_a_backup_restores_into_either_kind_with_all_that_was_there(
    hub: TestHub, database: Database, other: Database, tmp_path: Path
) -> None:
    await populate(hub)
    with open_for_writing(database) as connection:
        report = {"edge_id": b"e", "reported_at_ms": 1, "body": b"\0\xff"}
        connection.execute(insert(ReportRow), report)
        request = {"edge_id": b"e", "hostname": "a.eu", "action": "renew", "reason": "unspecified"}
        connection.execute(insert(CertificateRequestRow), {**request, "requested_at_ms": 1})
    path = tmp_path / "hub.tar.gz"
    saved = await asyncio.to_thread(save, database, path)
    restored = await asyncio.to_thread(backup.restore, other, path)
    rows = rows_in(database)

    assert but_revision(rows_in(other)) == but_revision(rows)
    assert saved == restored == {name: len(found) for name, found in rows.items()}
    assert [name for name, found in rows.items() if not found] == []
    assert check.problems(other) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if other.path:
        assert stat.S_IMODE(other.path.stat().st_mode) == 0o600


async def test_a_restored_hub_goes_on_where_the_backup_was(
    hub: TestHub, database: Database, other: Database, tmp_path: Path
) -> None:
    once = await populate(hub)
    await asyncio.to_thread(save, database, tmp_path / "b")
    newest = (await hub.client().audit.list()).audit[0].id
    await asyncio.to_thread(backup.restore, other, tmp_path / "b")
    async with hub_with_keys(other, RouteChanges(), hub.context.keys) as again:
        again.clock.now_ms = hub.clock.now_ms
        client, wanted = again.client(), InviteIn(hostnames=["once.eu"])
        repeated = await client.invites.create(wanted, idempotency_key="once")
        await again.invite("new.eu")
        audit = (await client.audit.list()).audit[0]

    assert repeated.invite_id == once
    assert (audit.id, audit.action) == (newest + 1, "invite.created")


async def test_after_a_restore_edges_are_told_everything_for_what_they_know_is_undone(
    hub: TestHub, database: Database, other: Database, tmp_path: Path
) -> None:
    await populate(hub)
    await asyncio.to_thread(save, database, tmp_path / "b")
    before, token = hub.context.route_changes.revision, await hub.invite("undone.eu")
    await hub.client().apply_desired_state(tenant_of(token), state("undone.eu"))
    undone = hub.context.route_changes.revision
    await asyncio.to_thread(backup.restore, other, tmp_path / "b")
    async with hub_with_keys(other, RouteChanges(), hub.context.keys) as again:
        cache = again.context.route_cache

    assert [cache.delta(since).snapshot for since in (before, undone)] == [True, True]
    assert cache.revision > undone > before
    assert "undone.eu" not in [route.name for route in cache.delta(None).routes]


async def test_a_backup_is_one_moment_while_others_write(
    hub: TestHub, database: Database, other: Database, tmp_path: Path
) -> None:
    large_database.fill(database, 2_000)
    made: list[str] = []
    is_busy, saved = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(write_on(hub, made, is_busy, saved))
        await is_busy.wait()
        before = len(made)
        await asyncio.to_thread(save, database, tmp_path / "b")
        after = len(made)
        saved.set()
    await asyncio.to_thread(backup.restore, other, tmp_path / "b")
    found = rows_in(other)

    actions = [value for row in found["audit"] for value in row if value in WRITES]
    created, published = map(actions.count, WRITES)
    assert before < after
    assert 2_000 + before <= created <= 2_000 + after + 1
    assert len(found["invites"]) == len(found["invite_hostnames"]) == created
    assert len(found["services"]) == len(found["routes"]) == 2_000 + published


async def write_on(
    hub: TestHub, made: list[str], is_busy: asyncio.Event, saved: asyncio.Event
) -> None:
    """Make tenants that publish, one after the other."""
    while not saved.is_set():
        name = f"w{len(made)}.eu"
        token = await hub.invite(name)
        await hub.client().apply_desired_state(tenant_of(token), state(name))
        made.append(name)
        if len(made) == 3:
            is_busy.set()


def test_keys_are_sealed_under_their_passphrase(tmp_path: Path) -> None:
    database = make_new(tmp_path)
    path = tmp_path / "b"
    save(database, path, keys=KEYS, passphrase="correct horse")
    with pytest.raises(Denied) as wrong:
        backup.read_keys(path, "battery staple")

    assert backup.read_keys(path, "correct horse") == KEYS
    assert wrong.value.code is Code.UNAUTHORIZED
    assert b"hush" not in path.read_bytes()


def make_new(folder: Path) -> Database:
    database = Database.in_file(folder / "new.db")
    make_first(database)
    return database


def test_keys_are_neither_written_nor_read_where_there_are_none(tmp_path: Path) -> None:
    database = make_new(tmp_path)
    with pytest.raises(Denied, match="only written under a passphrase"):
        save(database, tmp_path / "b", keys=KEYS)
    save(database, tmp_path / "b")

    with pytest.raises(Denied, match="written without keys"):
        backup.read_keys(tmp_path / "b", "any")


def test_a_backup_takes_no_other_files_place_and_leaves_nothing_unfinished(tmp_path: Path) -> None:
    database = make_new(tmp_path)
    (tmp_path / "b").write_text("precious")
    with pytest.raises(Denied, match="exists already"):
        save(database, tmp_path / "b")
    with pytest.raises(Denied, match="No such file or directory"):
        save(database, tmp_path / "nowhere" / "b")
    with pytest.raises(Denied, match="there is no such database"):
        save(Database.in_file(tmp_path / "none.db"), tmp_path / "c")

    assert (tmp_path / "b").read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} <= {"b", "new.db", "new.db-wal", "new.db-shm"}


def test_a_backup_of_the_first_hub_becomes_a_database_of_today(
    other: Database, tmp_path: Path
) -> None:
    save(make_new(tmp_path), tmp_path / "b")
    backup.restore(other, tmp_path / "b")

    found = rows_in(other)
    assert {name: len(found[name]) for name in FIRST} == {n: len(r) for n, r in FIRST.items()}
    assert "*.y.z.eu" in {value for row in found["invite_hostnames"] for value in row}
    assert check.problems(other) == []


async def test_a_database_with_anything_in_it_takes_neither_backup_nor_copy(
    hub: TestHub, database: Database, tmp_path: Path
) -> None:
    await hub.invite("a.eu")
    before = rows_in(database)
    source = make_new(tmp_path)
    save(source, tmp_path / "b")

    for move in (
        partial(backup.restore, database, tmp_path / "b"),
        partial(backup.copy_database, source, database),
    ):
        with pytest.raises(Denied, match=r"the database is not empty: \w+ has rows already"):
            move()
    assert rows_in(database) == before


async def test_a_move_to_postgres_takes_all_and_leaves_the_old_file_as_it_is(
    tmp_path: Path, server: Postgres
) -> None:
    source, target = await migrated(tmp_path / "old.db"), server.database(migrated=False)
    async with running_hub(source, RouteChanges()) as hub:
        await populate(hub)
    before = hashlib.sha256((tmp_path / "old.db").read_bytes()).digest()
    counts = backup.copy_database(source, target)

    assert rows_in(target) == rows_in(source)
    assert counts == {name: len(found) for name, found in rows_in(source).items()}
    assert hashlib.sha256((tmp_path / "old.db").read_bytes()).digest() == before
    assert check.problems(target) == []
    async with running_hub(target, RouteChanges()) as hub:
        newest = (await hub.client().audit.list()).audit[0].id
        await hub.invite("new.eu")
        assert (await hub.client().audit.list()).audit[0].id == newest + 1


def test_an_old_file_is_moved_without_being_migrated_itself(
    tmp_path: Path, server: Postgres
) -> None:
    source, target = make_new(tmp_path), server.database()
    before = (tmp_path / "new.db").read_bytes()
    backup.copy_database(source, target)

    assert (tmp_path / "new.db").read_bytes() == before
    assert check.problems(target) == []
    with pytest.raises(ProtocolError):
        backup.restore(server.database(migrated=False), tmp_path / "new.db")
