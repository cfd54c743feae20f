"""`towonel serve` for real: what ends by itself is started again, and the other goes on meanwhile."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from support.ports import free_port
from support.stack import until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.soak,
]  # puppets of it: cli/tests/test_supervisor.py
SILENT = 0


@dataclass
class Served:
    """A hub and an edge under one command, and what they write."""

    process: asyncio.subprocess.Process
    environ: dict[str, str]
    log_file: Path
    hub_health: int
    edge_health: int

    async def check_health(self) -> int:
        """The exit code of `towonel serve --health` beside it."""
        command = (sys.executable, "-m", "towonel.cli", "serve", "--health")
        return await (await asyncio.create_subprocess_exec(*command, env=self.environ)).wait()

    def log(self) -> str:
        return self.log_file.read_text()

    def pids(self, program: str) -> list[int]:
        """Every process that was started as a program, in order."""
        started = rf'"program": "{program}", "pid": (\d+)'
        return [int(found) for found in re.findall(started, self.log())]

    async def is_ready(self, health_port: int) -> bool:
        return await status(health_port) == httpx.codes.OK


async def status(port: int) -> int:
    """What /readyz answers with; 0 where nobody listens."""
    async with httpx.AsyncClient() as http:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code
        except httpx.TransportError:
            return SILENT


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    ports = [free_port() for _ in range(4)]
    environ = {
        "PATH": os.environ["PATH"],
        "TOWONEL_DATA_DIR": str(folder / "state"),
        "TOWONEL_LOG_FORMAT": "json",
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{ports[0]}",
        "TOWONEL_EDGE_LISTEN_ADDR": f"127.0.0.1:{ports[1]}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{ports[2]}",
        "TOWONEL_EDGE_HEALTH_LISTEN_ADDR": f"127.0.0.1:{ports[3]}",
        "TOWONEL_EDGE_ADVERTISED_ADDRESSES": f"127.0.0.1:{ports[1]}",
    }
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "towonel.cli", "serve"), env=environ, stdout=log, stderr=log
        )
    try:
        yield Served(process, environ, folder / "log", ports[2], ports[3])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_an_edge_serves_while_its_hub_is_killed_and_started_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, asyncio.timeout(60):
        for port in (served.hub_health, served.edge_health):
            await until(partial(served.is_ready, port), 40)
        (hub,) = served.pids("hub")
        os.kill(hub, signal.SIGKILL)
        await until(lambda: "program.failed" in served.log(), 20)
        meanwhile = await status(served.edge_health)
        unhealthy = await served.check_health()
        await until(lambda: len(served.pids("hub")) > 1, 20)
        await until(partial(served.is_ready, served.hub_health), 20)
        healthy = await served.check_health()
        served.process.terminate()
        ended = await served.process.wait()

    assert meanwhile == 200
    assert (unhealthy, healthy) == (1, 0)
    assert len(served.pids("edge")) == 1
    assert ended == 0
