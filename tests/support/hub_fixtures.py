"""Pytest plugin: fixtures of a hub of the test's own, on SQLite or on a real Postgres."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from support import postgres
from support.hub import TestHub, migrated, running_hub
from support.postgres import Postgres

from towonel.hub.bounds import Bounds
from towonel.hub.live.route_changes import RouteChanges
from towonel.hub.store.db.database import Database
from towonel.hub.timing import Timing


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
def timing() -> Timing:
    """Timing of `hub`; a test that needs another is parametrized with it."""
    return Timing()


@pytest.fixture
def bounds() -> Bounds:
    """Bounds of `hub`; a test that needs others is parametrized with them."""
    return Bounds()


@pytest.fixture
async def hub(database: Database, timing: Timing, bounds: Bounds) -> AsyncGenerator[TestHub]:
    async with running_hub(database, RouteChanges(), timing=timing, bounds=bounds) as made:
        yield made
