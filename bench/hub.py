"""Measure a hub with many tenants, on SQLite and on Postgres side by side, in one run.

    make bench-hub BENCH_ARGS="--tenants 10000 --services 100000 --rounds 3"

A real hub process on a database that was filled before: from its start until it is ready; all routes at
once; one change until a listening edge has it; pages of every list, the first and one deep inside; writes.
Prints one JSON line a measurement, and a table of medians with the ratio of Postgres to SQLite. Postgres
runs with the durability it has by default, SQLite with synchronous=FULL, as the hub sets it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from e2e.ports import free_port
from filling import WRITERS, Size, edge, fill, routes_of, tenant
from rich.console import Console
from rich.table import Table
from worlds import postgres

from towonel.client.hub import HubClient
from towonel.client.models import DesiredState, ServiceIn
from towonel.hub.store import invariants
from towonel.hub.store.database import Database
from towonel.identity.signatures import Domain, authorize_node
from towonel.wire.routes import decode_delta

READY_S = 120.0
PAGES = ("invites", "tenants", "services", "routes", "agents", "edges", "ports", "keys", "audit")
ASKED = 40  # times for each page
DEEP = 5  # pages of a thousand before the one deep inside
type Results = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Running:
    """A hub process, and where it listens."""

    process: asyncio.subprocess.Process
    url: str
    key: str
    ready_s: float

    def client(self) -> HubClient:
        return HubClient(self.url, operator_key=self.key)

    @property
    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextlib.contextmanager
def databases(folder: Path) -> Iterator[Mapping[str, tuple[Database, Mapping[str, str]]]]:
    """A database of each kind, and how a hub is told of it."""
    with postgres.running(durable=True) as server:
        made = server.database(migrated=False)
        dsn = made.url.render_as_string(hide_password=False)
        sqlite = Database.in_file(folder / "hub.db")
        yield {
            "sqlite": (sqlite, {}),
            "postgres": (
                made,
                {"TOWONEL_HUB_DB_DRIVER": "postgres", "TOWONEL_HUB_DB_DSN": dsn},
            ),
        }


@contextlib.asynccontextmanager
async def running(folder: Path, more: Mapping[str, str]) -> AsyncIterator[Running]:
    """A hub as its operator starts it; `ready_s` is from the start until /readyz says so."""
    port, health = free_port(), free_port()
    environ = {
        "TOWONEL_DATA_DIR": str(folder),
        "TOWONEL_HUB_LISTEN_ADDR": f"127.0.0.1:{port}",
        "TOWONEL_HUB_HEALTH_LISTEN_ADDR": f"127.0.0.1:{health}",
        "TOWONEL_HUB_KEY_RATE_LIMIT_PER_SEC": "100000",
        "TOWONEL_HUB_RATE_LIMIT_PER_SEC": "100000",
        "TOWONEL_HUB_RATE_LIMIT_BURST": "100000",
        "TOWONEL_LOG_LEVEL": "warning",
        **more,
    }
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "towonel.hub", env=environ)
    try:
        await _ready(f"http://127.0.0.1:{health}/readyz", process)
        ready_s = time.perf_counter() - started
        key = (folder / "operator.key").read_text().strip()
        yield Running(process, f"http://127.0.0.1:{port}", key, ready_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(READY_S), httpx.AsyncClient() as http:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(url)).is_success:
                    return
            await asyncio.sleep(0.01)
    raise AssertionError("the hub ended before it was ready")


async def feed(hub: Running, number: int, since: int | None, wait: int = 0) -> dict[str, float]:
    """One request for routes as an edge makes it: bytes, pieces, first and last of them in ms."""
    key = edge(number)
    headers = {"authorization": authorize_node(key, Domain.EDGE_SUBSCRIBE, b"", _now_ms())}
    query = {"wait": str(wait)} if since is None else {"since": str(since), "wait": str(wait)}
    body, pieces, first_ms = bytearray(), 0, 0.0
    started = time.perf_counter()
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", f"{hub.url}/v1/routes/feed", params=query, headers=headers) as answer,
    ):
        assert answer.is_success, answer.status_code
        async for piece in answer.aiter_raw():
            first_ms = first_ms or (time.perf_counter() - started) * 1000
            pieces += 1
            body += piece
    ended = time.perf_counter()
    delta = decode_delta(bytes(body))
    changes = len(delta.routes) + len(delta.removed)
    return {
        "bytes": len(body),
        "pieces": pieces,
        "first_ms": first_ms,
        "last_ms": (ended - started) * 1000,
        "ended": ended,
        "changes": changes,
        "revision": delta.revision,
    }


async def snapshot(hub: Running) -> dict[str, float]:
    """All routes at once, and the longest that somebody else waited for an answer meanwhile."""
    async with httpx.AsyncClient() as http, asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(feed(hub, 0, None))
        waits = [0.0]
        while not asked.done():
            started = time.perf_counter()
            await http.get(f"{hub.url}/v1/health")
            waits.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.002)
    figures = asked.result()
    named = ("bytes", "pieces", "first_ms", "last_ms", "changes")
    return {**{name: figures[name] for name in named}, "others_waited_ms": max(waits)}


async def storm(hub: Running) -> dict[str, float]:
    """Fifty edges that ask for everything at once, as after an outage."""
    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(feed(hub, number, None)) for number in range(50)]
    assert len({task.result()["bytes"] for task in asked}) == 1, "they all got the same"
    return {"last_ms": (time.perf_counter() - started) * 1000, "hub_mib": hub.resident_mib}


async def change(hub: Running, size: Size, turn: int) -> dict[str, float]:
    """One service of one tenant goes or comes back: until a listening edge has it, and how much."""
    async with hub.client() as client:
        since = (await client.list_routes(limit=1)).revision
        listening = asyncio.create_task(feed(hub, 1, since, wait=25))
        await asyncio.sleep(0.3)  # so that it listens
        started = time.perf_counter()
        await client.apply_desired_state(tenant(0), _state(size, 0, turn))
        committed = time.perf_counter()
    heard = await listening
    assert heard["changes"] == 1, "an edge is told of that change alone"
    return {
        "bytes": heard["bytes"],
        "write_ms": (committed - started) * 1000,
        "heard_ms": (heard["ended"] - started) * 1000,
    }


async def pages(hub: Running) -> dict[str, dict[str, float]]:
    """Each list: its first hundred, and a hundred deep inside."""
    found: dict[str, dict[str, float]] = {}
    headers = {"authorization": f"Bearer {hub.key}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=30) as http:
        for name in PAGES:
            cursor = await _deep(http, name)
            for depth, more in (("first", {}), ("deep", {"cursor": cursor})):
                if depth == "deep" and cursor is None:
                    continue
                times = await _asked(http, name, {"limit": "100", **more})
                found[f"{name} {depth}"] = {
                    "median_ms": statistics.median(times),
                    "p95_ms": statistics.quantiles(times, n=20)[-1],
                }
    return found


async def writes(hub: Running, size: Size, at_once: int, count: int = 40) -> dict[str, float]:
    """Documents that each change one service, one after the other or several at once."""

    async def publish(number: int) -> None:
        async with hub.client() as client:
            for turn in range(count // at_once):
                await client.apply_desired_state(tenant(number), _state(size, number, turn))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(at_once):
            tasks.create_task(publish(number))
    return {"writes_s": count / (time.perf_counter() - started)}


async def measured(
    folder: Path, more: Mapping[str, str], size: Size
) -> dict[str, dict[str, float]]:
    """Everything once, on one hub process."""
    async with running(folder, more) as hub:
        found: dict[str, dict[str, float]] = {"boot": {"ready_s": hub.ready_s}}
        found["boot"]["hub_mib"] = hub.resident_mib
        found["snapshot"] = await snapshot(hub)
        found["snapshot again"] = await snapshot(hub)
        found["50 snapshots"] = await storm(hub)
        for turn in (1, 0):  # it goes, and comes back
            found[f"change, service {'goes' if turn else 'comes'}"] = await change(hub, size, turn)
        found |= {f"page of {name}": figures for name, figures in (await pages(hub)).items()}
        found["writes, 1 at once"] = await writes(hub, size, 1)
        found["writes, 8 at once"] = await writes(hub, size, WRITERS)
    return found


async def run(size: Size, rounds: int) -> Results:
    """Measure both kinds of database within each round."""
    results: Results = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as name, databases(Path(name)) as kinds:
        for kind, (database, _) in kinds.items():
            started = time.perf_counter()
            fill(database, size)
            assert invariants.problems(database) == [], "it is as a hub would have filled it"
            said = {"database": kind, "measured": "fill", "s": time.perf_counter() - started}
            print(json.dumps(said), flush=True)
        for number in range(rounds):
            for kind, (_, more) in kinds.items():
                for what, figures in (await measured(Path(name), more, size)).items():
                    said = {"database": kind, "measured": what, "round": number, **figures}
                    print(json.dumps(said), flush=True)
                    for figure, value in figures.items():
                        results[f"{what}: {figure}"][kind].append(value)
    return results


def table(results: Results) -> Table:
    """The medians of both databases, and what Postgres is to SQLite."""
    shown = Table(title="medians")
    for heading in ("figure", "sqlite", "postgres", "postgres / sqlite"):
        shown.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure, kinds in results.items():
        one, other = (statistics.median(kinds[kind]) for kind in ("sqlite", "postgres"))
        ratio = f"{other / one:.2f}" if one else ""
        shown.add_row(figure, f"{one:,.2f}", f"{other:,.2f}", ratio)
    return shown


async def _deep(http: httpx.AsyncClient, name: str) -> str | None:
    cursor: str | None = None
    for _ in range(DEEP):
        query = {"limit": "1000"} if cursor is None else {"limit": "1000", "cursor": cursor}
        following = (await http.get(f"/v1/{name}", params=query)).json()["next_cursor"]
        if following is None:
            break
        cursor = following
    return cursor


async def _asked(
    http: httpx.AsyncClient, name: str, query: Mapping[str, str | None]
) -> list[float]:
    times: list[float] = []
    for _ in range(ASKED):
        started = time.perf_counter()
        answer = await http.get(f"/v1/{name}", params=dict(query))
        assert answer.is_success, answer.text
        times.append((time.perf_counter() - started) * 1000)
    return times


def _state(size: Size, number: int, turn: int) -> DesiredState:
    """What a tenant publishes; in every other turn it leaves out the first."""
    routes = list(routes_of(size, number))[turn % 2 :]
    services = [
        ServiceIn.model_validate({key: route[key] for key in ("kind", "name", "port")})
        for route in routes
    ]
    return DesiredState(group="default", services=services)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=10_000, help="how many there are")
    parser.add_argument("--services", type=int, default=100_000, help="of all of them together")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median is shown")
    chosen = parser.parse_args()
    measured_size = Size(chosen.tenants, chosen.services)
    Console(stderr=True, width=120).print(table(asyncio.run(run(measured_size, chosen.rounds))))
