"""Smoke test of the hub's benchmark: it runs; its figures are not looked at."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from pathlib import Path

import pytest

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
