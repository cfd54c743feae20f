"""Edge of a hub whose database takes no writes: it serves, for registering is a write and no more."""

import asyncio
from pathlib import Path

import pytest
from support.postgres import Postgres
from support.programs import in_process
from support.replicas import on_postgres
from support.stack import Stack, until

from towonel.edge.snapshot import SNAPSHOT_FILE

pytestmark = pytest.mark.both_databases


async def test_an_edge_without_routes_gets_them_from_a_hub_that_only_reads(
    server: Postgres, tmp_path: Path
) -> None:
    database = server.database()
    async with in_process() as runner:
        stack = Stack(runner, tmp_path)
        await stack.start_hub(**on_postgres(server.dsn(str(database.url.database))))
        await asyncio.to_thread(server.let_write, database, may=False)

        edge = await stack.start_edge()  # until it is ready
        degraded = await edge.metric("towonel_edge_degraded", check="registration")
        # With the id of the hub, whose grants it accepts.
        await until((tmp_path / "edge" / SNAPSHOT_FILE).exists)

    assert degraded == 1
