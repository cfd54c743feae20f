"""Load: many clients at once, and what they notice when an agent dies among them."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.origins import Certificates, Nginx
from support.stack import Stack, service

from towonel.edge.timing import DEFAULT_TIMING

LOAD = Path(__file__).parents[2] / "support/load.py"
EACH = pytest.mark.parametrize("each", [16, pytest.param(313, marks=pytest.mark.soak)])
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Totals:
    done: int
    failed: dict[str, int]
    slowest_s: float
    seconds: float


@dataclass
class Running:
    output: asyncio.StreamReader

    async def reached(self, requests: int) -> None:
        while (await self._line())["progress"] < requests:
            pass

    async def totals(self) -> Totals:
        while "done" not in (line := await self._line()):
            pass
        return Totals(**line)

    async def _line(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(await self.output.readline())
        return line


@contextlib.asynccontextmanager
async def load(
    stack: Stack, certificates: Certificates, hostname: str, workers: int, each: int, mode: str
) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(LOAD), str(stack.edge_port), hostname, str(certificates.ca_file)),
        *(str(workers), str(each), mode),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": str(LOAD.parents[1])},
    )
    assert process.stdout
    try:
        yield Running(process.stdout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def agents(stack: Stack, web: Nginx, hostname: str, count: int) -> None:
    token = await stack.invite(hostname)
    for _ in range(count):
        await stack.start_agent(token, service(hostname, web.plain))


@EACH
async def test_requests_over_64_kept_connections_all_succeed(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, each: int
) -> None:
    await agents(processes, web, hostname, 1)

    async with load(processes, certificates, hostname, 64, each, "keep") as running:
        totals = await running.totals()

    assert totals.failed == {}
    assert totals.done == 64 * each


@pytest.mark.parametrize("each", [16, pytest.param(125, marks=pytest.mark.soak)])
async def test_new_connections_all_succeed(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, each: int
) -> None:
    await agents(processes, web, hostname, 1)

    async with load(processes, certificates, hostname, 16, each, "new") as running:
        totals = await running.totals()

    assert totals.failed == {}
    assert totals.done == 16 * each


@EACH
async def test_an_agent_killed_among_kept_connections_costs_only_those_it_held(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, each: int
) -> None:
    await agents(processes, web, hostname, 2)
    victim = processes.agents[0]

    async with load(processes, certificates, hostname, 64, each, "keep") as running:
        await running.reached(64 * each * 2 // 5)
        await victim.reaches(1, "towonel_agent_streams_active")
        held = await victim.metric("towonel_agent_streams_active")
        await victim.program.kill()
        totals = await running.totals()

    assert 0 < held < 64
    assert sum(totals.failed.values()) <= held
    assert totals.done == 64 * each - sum(totals.failed.values())


@pytest.mark.parametrize("each", [32, pytest.param(250, marks=pytest.mark.soak)])
async def test_an_agent_killed_among_new_connections_costs_only_those_in_flight(
    processes: Stack, web: Nginx, certificates: Certificates, hostname: str, each: int
) -> None:
    await agents(processes, web, hostname, 2)

    async with load(processes, certificates, hostname, 8, each, "new") as running:
        await running.reached(8 * each // 2)
        await processes.agents[0].program.kill()
        totals = await running.totals()

    assert sum(totals.failed.values()) <= 8
    assert totals.done == 8 * each - sum(totals.failed.values())
    assert totals.slowest_s < DEFAULT_TIMING.clients.open_s / 2  # nobody waited for the dead one
