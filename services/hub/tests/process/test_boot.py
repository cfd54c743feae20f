"""Boots and ends: migrations whole or not at all, bad places named, signals and SIGKILL."""

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic import op
from sqlalchemy.exc import OperationalError
from support.hub_process import ready, settings
from support.plain_http import plain_client

from towonel.client.hub import HubClient
from towonel.hub.app import serve
from towonel.hub.settings import HubSettings
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade
from towonel.hub.store.db.offline import open_for_writing
from towonel.identity.keys import NodeKey
from towonel.runtime.settings import SettingsError, load


def tables(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}


def test_a_migration_that_fails_half_way_leaves_nothing_and_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hub.db"
    create = op.create_table

    def failing(name: str, *columns: object, **options: object) -> object:
        if name == "nonces":
            raise OperationalError("CREATE TABLE", None, Exception("disk full"))
        return create(name, *columns, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", failing)
        with pytest.raises(OperationalError):
            upgrade(Database.in_file(path))
    left = tables(path)
    upgrade(Database.in_file(path))

    assert left == set()
    assert {"nonces", "routes", "alembic_version"} <= tables(path)


def test_hubs_that_boot_at_once_migrate_once(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(upgrade, [Database.in_file(path)] * 8))

    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM revision").fetchone() == (1,)


def test_connections_that_turn_the_log_on_at_once_wait_for_each_other(tmp_path: Path) -> None:
    together = Barrier(8)

    def write(path: Path) -> None:
        together.wait(timeout=20)
        with open_for_writing(Database.in_file(path)) as connection:
            connection.exec_driver_sql("PRAGMA user_version = 1")

    with ThreadPoolExecutor(8) as threads:
        for number in range(20):  # without the wait one in ten is turned away
            path = tmp_path / f"{number}.db"
            list(threads.map(write, [path] * 8))
            with contextlib.closing(sqlite3.connect(path)) as database:
                assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "50% of?it#a b.db"
    upgrade(Database.in_file(path))

    assert path.exists()


@pytest.mark.parametrize("broken", ["a folder", "no database", "a file above it"])
async def test_a_database_that_cannot_be_used_is_a_mistake_in_the_settings(
    tmp_path: Path, broken: str
) -> None:
    path = tmp_path / "place" / "hub.db"
    if broken == "a folder":
        path.mkdir(parents=True)
    elif broken == "no database":
        path.parent.mkdir()
        path.write_bytes(b"not a database" * 100)
    else:
        path.parent.touch()
    chosen = settings(tmp_path / "state", TOWONEL_HUB_DB_DSN=str(path))

    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(chosen, asyncio.Event())
    assert caught.group_contains(SettingsError, match=f"TOWONEL_HUB_DB_DSN: cannot use {path}")


@pytest.mark.parametrize("url", ["http://:hunter2@redis", "redis:/x:y:z@@", "localhost:6379"])
def test_a_redis_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(HubSettings, {"TOWONEL_REDIS_URL": url})

    assert caught.value.problems[0].startswith("TOWONEL_REDIS_URL: must be redis://")
    assert "hunter2" not in str(caught.value)


def test_variables_of_the_original_and_of_the_command_are_known() -> None:
    chosen = load(
        HubSettings,
        {
            "TOWONEL_HUB_DB_MAX_OPEN_CONNS": "8",
            "TOWONEL_HUB_DB_MAX_IDLE_CONNS": "2",
            "TOWONEL_HUB_URL": "https://elsewhere.example.eu",
            "TOWONEL_HUB_ENABLED": "true",
            "TOWONEL_REDIS_URL": " ",
        },
    )

    assert (chosen.db_max_open_conns, chosen.db_max_idle_conns) == (8, 2)
    assert chosen.redis_url is None


@contextlib.asynccontextmanager
async def process(chosen: HubSettings) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The hub as its users start it; killed at the end if it still runs."""
    environ = {
        "TOWONEL_DATA_DIR": str(chosen.data_dir),
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{chosen.listen_addr[1]}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{chosen.health_listen_addr[1]}",
    }
    found = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "towonel.hub"), env=environ, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.TaskGroup() as tasks:
        ended = tasks.create_task(found.communicate())
        try:
            await ready(chosen, ended)
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                found.kill()


def client(chosen: HubSettings) -> HubClient:
    key = (chosen.data_dir / "operator.key").read_text()
    return HubClient(f"http://127.0.0.1:{chosen.listen_addr[1]}", operator_key=key)


async def somebody_waits(chosen: HubSettings) -> None:
    url = f"http://127.0.0.1:{chosen.health_listen_addr[1]}/metrics"
    async with plain_client() as http:
        while "towonel_hub_route_waiters 1.0" not in (await http.get(url)).text:
            await asyncio.sleep(0.02)


@pytest.mark.processes
async def test_a_hub_told_to_stop_lets_edges_go_and_ends_with_0_at_once(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    async with process(chosen) as hub, client(chosen) as edge:
        node = NodeKey.from_seed((chosen.data_dir / "node.key").read_bytes())
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            poll = tasks.create_task(edge.follow_routes(node, 0, 30))
            await somebody_waits(chosen)
            hub.send_signal(signal.SIGTERM)
            exit_code = await hub.wait()

    assert exit_code == 0
    assert poll.result().revision == 0
