"""SIGKILL in the middle of writes: what was acknowledged is there, with its trace, and nothing is half there."""

import asyncio
import contextlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, text
from support import fork_server, plain_http
from support.hub import state, tenant_of
from support.polling import pauses
from support.ports import free_port
from support.postgres import Postgres

from towonel.api.invites import InviteEdit, InviteIn
from towonel.client.hub import HubClient
from towonel.hub.store.db.database import Database
from towonel.hub.store.db.offline import open_read_only
from towonel.wire.errors import TowonelError
from towonel.wire.tokens import InviteToken

WRITERS = 4
ROUNDS = {"sqlite": 3, "postgres": 3}
SOAK_ROUNDS = {"sqlite": 38, "postgres": 12}
# What each writer does to each of its tenants, one after the other.
LIFE = (
    "invite.created",
    "invite.updated",
    "services.published",
    "services.published",
    "invite.revoked",
)
TENANTS = """
    SELECT pattern, i.name, status, active, i.tenant_id, removed_at_ms, kind
    FROM invite_hostnames h JOIN invites i ON i.invite_id = h.invite_id
    LEFT JOIN routes r ON r.key = 'https:' || pattern
"""
TRACES = "SELECT tenant_id, action FROM audit ORDER BY id"


@dataclass
class Crash:
    """One hub that is killed again and again, and how far each tenant was told to be."""

    database: Database
    environ: Mapping[str, str]
    acknowledged: dict[str, int] = field(default_factory=dict[str, int])
    _progress: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://{self.environ['TOWONEL_HUB_LISTEN_ADDR']}"

    async def round(self, chance: random.Random) -> None:
        """Start the hub, write from several connections, and kill it while they write."""
        hub = await fork_server.start("hub", self.environ)
        try:
            await self._ready()
            key = (Path(self.environ["TOWONEL_DATA_DIR"]) / "operator.key").read_text()
            enough = self.total() + chance.randrange(4, 40)
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                for _ in range(WRITERS):
                    tasks.create_task(self._write(key))
                while self.total() < enough:
                    self._progress.clear()
                    await self._progress.wait()
                hub.kill()
        finally:
            hub.kill()
            await hub.wait()

    def total(self) -> int:
        return sum(self.acknowledged.values())

    async def _write(self, key: str) -> None:
        with contextlib.suppress(TowonelError):  # the hub is gone
            async with HubClient(self.url, operator_key=key) as client:
                while True:
                    await self._live(client)

    async def _live(self, client: HubClient) -> None:
        """The whole life of a tenant."""
        name = f"n{len(self.acknowledged)}.eu"
        self.acknowledged[name] = 0
        created = await client.invites.create(InviteIn(hostnames=[name]))
        self._acknowledge(name)
        await client.invites.update(created.invite_id, InviteEdit(name="renamed"))
        self._acknowledge(name)
        tenant = tenant_of(InviteToken.decode(created.token))
        await client.apply_desired_state(tenant, state(name))
        self._acknowledge(name)
        await client.apply_desired_state(tenant, state())
        self._acknowledge(name)
        await client.invites.revoke(created.invite_id)
        self._acknowledge(name)

    def _acknowledge(self, name: str) -> None:
        self.acknowledged[name] += 1
        self._progress.set()

    async def _ready(self) -> None:
        port = int(self.environ["TOWONEL_HUB_HEALTH_LISTEN_ADDR"].rpartition(":")[2])
        async with asyncio.timeout(20):
            for pause_s in pauses():
                with contextlib.suppress(OSError):
                    if (await plain_http.get(port, "/readyz")).is_success:
                        return
                await asyncio.sleep(pause_s)

    def lost(self) -> list[str]:
        """What does not agree with what was acknowledged, or with its own trace."""
        with open_read_only(self.database) as connection:
            rows = connection.execute(text(TENANTS)).all()
            reported: dict[bytes, list[str]] = {}
            for tenant, action in connection.execute(text(TRACES)):
                reported.setdefault(bytes(tenant), []).append(action)
        found = {row.pattern: tuple(reported.get(bytes(row.tenant_id), ())) for row in rows}
        half = [str(row) for row in rows if not is_whole(row, found[row.pattern])]
        return half + [
            f"{name}: {stage} was acknowledged, {found.get(name)} is there"
            for name, stage in self.acknowledged.items()
            if len(found.get(name, ())) not in {stage, stage + 1}  # or what was asked last
        ]

    def check(self) -> str:
        """What `towonel-hub check` says, as its exit code and its words."""
        folder = Path(self.environ["TOWONEL_DATA_DIR"])
        ended = fork_server.run_command(self.environ, "check", folder=folder)
        return f"{ended.code}: {ended.stdout}{ended.stderr}"


def is_whole(row: Row[Any], actions: tuple[str, ...]) -> bool:
    """Whether a tenant is what its trace says, no step more or less."""
    stage = len(actions)
    is_live = row.kind is not None and row.removed_at_ms is None
    is_held = row.status == "pending" and bool(row.active)
    return (actions, row.name == "renamed", is_live, is_held) == (
        LIFE[:stage],
        stage > LIFE.index("invite.updated"),
        stage == LIFE.index("services.published") + 1,
        stage < len(LIFE),
    )


@pytest.fixture(params=ROUNDS)
def crash(request: pytest.FixtureRequest, tmp_path: Path) -> Crash:
    environ = {
        "TOWONEL_DATA_DIR": str(tmp_path),
        "TOWONEL_LOG_LEVEL": "error",
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        "TOWONEL_HUB_RATE_LIMIT_PER_SEC": "100000",
        "TOWONEL_HUB_RATE_LIMIT_BURST": "100000",
        "TOWONEL_HUB_KEY_RATE_LIMIT_PER_SEC": "100000",
        "PATH": os.environ["PATH"],
    }
    if request.param == "sqlite":
        return Crash(Database.in_file(tmp_path / "hub.db"), environ)
    server: Postgres = request.getfixturevalue("server")
    database = server.database(migrated=False)
    dsn = fork_server.url_of(database)
    return Crash(
        database, environ | {"TOWONEL_HUB_DB_DRIVER": "postgres", "TOWONEL_HUB_DB_DSN": dsn}
    )


@pytest.mark.processes
@pytest.mark.both_databases
@pytest.mark.parametrize(
    "rounds",
    [pytest.param(ROUNDS, id="few"), pytest.param(SOAK_ROUNDS, id="many", marks=pytest.mark.soak)],
)
async def test_a_hub_killed_while_it_writes_loses_nothing_it_acknowledged(
    crash: Crash, rounds: dict[str, int]
) -> None:
    count = rounds["sqlite" if crash.database.is_sqlite else "postgres"]
    for number in range(count):
        await crash.round(random.Random(number))

        assert crash.check().startswith("0: ")
        assert crash.lost() == []
    assert crash.total() >= 4 * count
