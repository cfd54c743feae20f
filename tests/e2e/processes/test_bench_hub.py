"""Smoke test of the hub's benchmark: it runs; its figures are not looked at."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from pathlib import Path

import measures
import pytest
import seed_database
from hubprocess import Figures, Running
from support.edge_fleet import UNLIMITED
from support.hub_process import running, settings

from towonel.hub.backup import check
from towonel.hub.store.db.database import Database

ROOT = Path(__file__).parents[3]
SMALL = "--tenants 20 --services 200 --rounds 1 --times 2 --edges 3"


@pytest.mark.processes
@pytest.mark.soak
async def test_the_benchmark_measures_both_databases_alike() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "bench/hub.py"), *SMALL.split()),
        env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        stdout=PIPE,
        stderr=PIPE,
    )
    lines, table = await process.communicate()
    figures: dict[str, dict[str, set[str]]] = defaultdict(dict)
    for line in map(json.loads, lines.splitlines()):
        figures[line["database"]][line["measured"]] = set(line)

    assert process.returncode == 0, table.decode()
    assert figures["sqlite"] == figures["postgres"]
    assert {"boot", "snapshot", "page of tenants, first", "writes, 8 at once"} <= {
        *figures["postgres"]
    }
    assert "fsync=on" in table.decode()


async def test_what_it_fills_is_sound_and_can_be_measured(tmp_path: Path) -> None:
    database, size = Database.in_file(tmp_path / "hub.db"), seed_database.Size(8, 40)
    seed_database.fill(database, size)
    found = check.problems(database)
    snapshot, changed, written, pages = await measure(tmp_path, size)

    assert found == []
    assert snapshot["changes"] >= size.services
    assert changed["bytes"] > 0
    assert written["writes_s"] > 0
    assert {"page of tenants, first", "page of audit, first"} <= {*pages}


async def measure(
    folder: Path, size: seed_database.Size
) -> tuple[Figures, Figures, Figures, dict[str, Figures]]:
    """Measure a hub of this process once."""
    chosen = settings(folder, **UNLIMITED)
    async with running(chosen):
        key = (folder / "operator.key").read_text().strip()
        hub = Running(os.getpid(), f"http://127.0.0.1:{chosen.listen_addr[1]}", key, 0.0)
        return (
            await measures.snapshot(hub),
            await measures.change(hub, size, 1),
            await measures.writes(hub, size, 2, 4),
            await measures.pages(hub, 1),
        )
