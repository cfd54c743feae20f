"""Benchmark of a hub with many tenants, on SQLite and on Postgres side by side.

    make bench-hub BENCH_ARGS="--tenants 10000 --services 100000 --rounds 3"

A real hub process on a database that was filled before: from its start until it is ready; all routes at
once; one change until a listening edge has it; pages of every list, the first and one deep inside; writes;
pages and changes again while many edges listen and report. Prints one JSON line a measurement, and a table
of medians with the ratio of Postgres to SQLite. Both keep what they acknowledge: Postgres has fsync and
synchronous_commit on, as it comes, and SQLite synchronous=FULL, as the hub sets it.

`hub_cpu_ms` is the processor time of the hub's process, for each page or write: other work on the machine
makes figures in time worse, and this hardly. `others_waited_ms` is the longest that a process that asks
for /v1/health every 5 ms waited: how long the event loop was held up, and what `idle` shows besides.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import measures
from followers import simulate_edges
from hubprocess import Figures, Running, run_hub
from rich.console import Console
from rich.table import Table
from seed_database import EDGES, WRITERS, Size, fill
from support import postgres

from towonel.hub.backup import check
from towonel.hub.store.db.database import Database

PAGE_FIGURES = ("median_ms", "p95_ms", "hub_cpu_ms")
type Results = dict[str, dict[str, list[float]]]
type Measured = AsyncIterator[tuple[str, Figures]]


@dataclass(frozen=True)
class Kind:
    """A database, and the settings of a hub on it."""

    name: str
    database: Database
    environ: Mapping[str, str]


@dataclass(frozen=True)
class Chosen:
    """What is measured: how much there is, and how often each thing is done."""

    size: Size
    rounds: int
    times: int
    edges: int


@contextlib.contextmanager
def databases(folder: Path) -> Iterator[list[Kind]]:
    with postgres.running(durable=True) as server:
        made = server.database(migrated=False)
        dsn = made.url.render_as_string(hide_password=False)
        settings = {"TOWONEL_HUB_DB_DRIVER": "postgres", "TOWONEL_HUB_DB_DSN": dsn}
        sqlite = Database.in_file(folder / "hub.db")
        yield [Kind("sqlite", sqlite, {}), Kind("postgres", made, settings)]


async def measure(folder: Path, kind: Kind, chosen: Chosen) -> Measured:
    """Everything once, on one hub process."""
    async with run_hub(folder, kind.environ) as hub:
        boot = {"ready_s": hub.ready_s, "hub_cpu_ms": hub.processor_ms, "hub_mib": hub.resident_mib}
        yield "boot", boot
        yield "idle", await measures.idle(hub)
        yield "snapshot", await measures.snapshot(hub)
        yield "snapshot again", await measures.snapshot(hub)
        yield "snapshot, with others", await measures.felt_snapshot(hub, chosen.size)
        yield f"{measures.AT_ONCE} snapshots", await measures.storm(hub)
        for turn in (1, 0):
            name = f"change, a service {'goes' if turn else 'comes'}"
            yield name, await measures.change(hub, chosen.size, turn)
        for name, figures in (await measures.pages(hub, chosen.times)).items():
            yield name, figures
        for at_once in (1, WRITERS):
            figures = await measures.writes(hub, chosen.size, at_once, chosen.times)
            yield f"writes, {at_once} at once", figures
        async for name, figures in _measure_followers(hub, chosen):
            yield f"{chosen.edges} edges: {name}", figures
        yield "every route changes", await measures.everything_changes(hub, kind.database)


async def _measure_followers(hub: Running, chosen: Chosen) -> Measured:
    async with hub.client() as client:
        revision = (await client.routes.list(limit=1)).revision
    async with simulate_edges(hub, chosen.size, revision, chosen.edges) as them:
        yield "idle", await measures.idle(hub)
        yield "change", await measures.change_to_many(hub, chosen.size, them, chosen.edges)
        pages = (await measures.pages(hub, chosen.times)).values()
        yield "slowest page", {name: max(it[name] for it in pages) for name in PAGE_FIGURES}


async def run(chosen: Chosen) -> Results:
    """Measure both kinds of database within each round."""
    results: Results = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as name, databases(Path(name)) as kinds:
        for kind in kinds:
            started = time.perf_counter()
            fill(kind.database, chosen.size)
            assert check.problems(kind.database) == [], "it is as a hub would have filled it"
            said = {"database": kind.name, "measured": "fill", "s": time.perf_counter() - started}
            print(json.dumps(said), flush=True)
        for number in range(chosen.rounds):
            for kind in kinds:
                async for what, figures in measure(Path(name), kind, chosen):
                    said = {"database": kind.name, "measured": what, "round": number, **figures}
                    print(json.dumps(said), flush=True)
                    for figure, value in figures.items():
                        results[f"{what}: {figure}"][kind.name].append(value)
        for kind in kinds:
            assert check.problems(kind.database) == [], "the hub left it as it should be"
    return results


def table(results: Results) -> Table:
    """The medians of both databases, and what Postgres is to SQLite."""
    drawn = Table(title="medians; SQLite synchronous=FULL, Postgres fsync=on")
    for heading in ("figure", "sqlite", "postgres", "postgres / sqlite"):
        drawn.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure, kinds in results.items():
        one, other = (statistics.median(kinds[kind]) for kind in ("sqlite", "postgres"))
        ratio = f"{other / one:.2f}" if one else ""
        drawn.add_row(figure, f"{one:,.2f}", f"{other:,.2f}", ratio)
    return drawn


def _arguments() -> Chosen:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tenants", type=int, default=10_000, help="how many there are")
    parser.add_argument("--services", type=int, default=100_000, help="of all of them together")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median is printed")
    parser.add_argument("--times", type=int, default=40, help="each page and write in a round")
    parser.add_argument("--edges", type=int, default=50, help=f"that listen; at most {EDGES}")
    given = parser.parse_args()
    size = Size(given.tenants, given.services)
    return Chosen(size, given.rounds, given.times, min(given.edges, EDGES))


if __name__ == "__main__":
    Console(stderr=True, width=120).print(table(asyncio.run(run(_arguments()))))
