"""Every test of the API gets a hub of its own, once on SQLite and once on a real Postgres."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from worlds import postgres
from worlds.hub import World, migrated, opened
from worlds.postgres import Postgres

from towonel.hub.feed import Bell
from towonel.hub.store.database import Database


@pytest.fixture(scope="session")
def server() -> Generator[Postgres]:
    with postgres.running() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Database]:
    if request.param == "sqlite":
        yield await migrated(tmp_path / "hub.db")
    else:
        server: Postgres = request.getfixturevalue("server")
        made = server.database()
        yield made
        server.drop(made)


@pytest.fixture
async def world(database: Database) -> AsyncGenerator[World]:
    async with opened(database, Bell()) as made:
        yield made
