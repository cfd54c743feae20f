"""Benchmark of an edge's route table, from ten names to a million.

    make bench-routes BENCH_ARGS="--sizes 10,1000,100000,1000000 --workers 1,2,4 --json routes.json"

For each size, in a process of its own: look-ups; the index that workers map, written whole and with 1000
changes; and a real data plane, whose workers are told of the whole table and of one change. Prints progress
to standard error, a table (Markdown) to standard output, and writes every figure as JSON.

Look-ups, writing and workers are processor time, which others on the machine hardly disturb. `objects` is a
table that each worker would have of its own. A pause of control is how late a task is that sleeps a millisecond
at a time, without the time in which the machine had no processor for it. A worker's pause is at most its
processor time.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import override

import structlog
from process_usage import resident_kib
from prometheus_client import CollectorRegistry
from results import format_number
from support.clients import alert_of, client_hello
from support.edge_front import Front, Nowhere, StartedWorkers, start_front

from towonel.edge.core.route_table import FEW_ROUTES, RouteTable
from towonel.edge.data_plane.index_file import write_index_file
from towonel.edge.data_plane.start import WORKER
from towonel.edge.metrics import Metrics
from towonel.edge.worker.route_memory import BRING, IndexPages
from towonel.relay.supervisor import WorkerProcess, exec_python
from towonel.wire.ids import TenantId
from towonel.wire.names import Hostname, ServiceKind
from towonel.wire.routes import Route, RouteDelta

type Figures = dict[str, float]

SIZES, WORKERS = (10, 1000, 100_000, 1_000_000), (1, 2, 4)
LOOKED_UP = 2000  # names of a round, fewer than are remembered
ROUNDS = 5
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
PAUSE_S = 0.001
DRAW = random.Random(1)  # noqa: S311 names that are names_looked_up for


def routes(count: int, owner: int = 0) -> tuple[Route, ...]:
    """Routes of ten names a tenant, of which one is a wildcard."""
    return tuple(
        Route(ServiceKind.HTTPS, name_of(number), TenantId((owner or number // 10).to_bytes(32)))
        for number in range(count)
    )


def name_of(number: int) -> str:
    first = "*" if number % 10 == 9 else f"app-{number % 10}"
    return f"{first}.tenant-{number // 10}.example.eu"


# Look-ups and files.


def measure_lookups(table: RouteTable, size: int) -> Figures:
    """Return microseconds of each kind of look-up."""
    found = [number for number in range(size) if number % 10 != 9]
    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        names = [name_of(number) for number in DRAW.choices(found, k=LOOKED_UP)]
        wild = [
            f"x{DRAW.random()}.tenant-{n // 10}.example.eu"
            for n in DRAW.choices(found, k=LOOKED_UP)
        ]
        none = [f"x{DRAW.random()}.nobody.example.eu" for _ in range(LOOKED_UP)]
        for kind, names_looked_up in (
            ("first", names),
            ("again", names),
            ("wildcard", wild),
            ("none", none),
        ):
            rounds.setdefault(kind, []).append(_time_lookups(table, names_looked_up))
    return {f"{kind}_us": statistics.median(them) for kind, them in rounds.items()}


def _time_lookups(table: RouteTable, names: Sequence[str]) -> float:
    hostnames = [Hostname(name) for name in names]
    started = time.thread_time()
    for name in hostnames:
        table.lookup(name)
    return (time.thread_time() - started) / len(names) * 1e6


def measure_index(size: int) -> Figures:
    """Return what it costs to write and use an index, and to look names up in it."""
    figures: Figures = {}
    given = {route.key: route for route in routes(size)}
    started = time.thread_time()
    file = write_index_file(None, given.items)
    figures["write_cpu_s"] = time.thread_time() - started
    changes = {route.key: route for route in routes(min(size, FEW_ROUTES), owner=1)}
    started = time.thread_time()
    renewed = write_index_file(file.index, changes.items)
    figures["renew_cpu_s"] = time.thread_time() - started
    figures["index_mib"] = len(renewed.index.data) / 2**20
    table = RouteTable()
    started = time.thread_time()
    table.replace(renewed.index)
    figures["use_us"] = (time.thread_time() - started) * 1e6
    pages = IndexPages(renewed.index.data, BRING)  # as a worker does
    while pages.advise():
        pass
    given.clear()
    changes.clear()
    gc.freeze()  # or look-ups would pay for a look at all the objects of this benchmark
    figures |= measure_lookups(table, size)
    plain = RouteTable()
    plain.apply(RouteDelta(1, snapshot=True, routes=routes(size)))
    gc.freeze()
    return figures | {f"plain_{name}": us for name, us in measure_lookups(plain, size).items()}


# A data plane.


class Workers(StartedWorkers):
    """Starter of worker processes, which notes when the last was started."""

    started_s = 0.0

    @override
    async def start(self, channel: socket.socket) -> WorkerProcess:
        self.started_s = time.perf_counter()
        return await super().start(channel)


class Plane:
    """Data plane with as many workers, and its table."""

    def __init__(self, front: Front, table: RouteTable, workers: Workers) -> None:
        self.front = front
        self.table = table
        self.workers = workers

    async def fill(self, size: int) -> None:
        """Let control and workers have that many routes, and look some of them up in each worker."""
        delta = RouteDelta(1, snapshot=True, routes=routes(size))
        await self.front.plane.replace_routes(self.table.compare(delta))
        doors = [self.front.open_door(number) for number in range(len(self.workers.pids))]
        for door in doors:
            await until_known(door, name_of(size - 2))
            names = [name_of(DRAW.randrange(size)).replace("*", "any") for _ in range(90)]
            await asyncio.gather(*(alert_of(door, client_hello(name)) for name in names))

    def change(self, route: Route) -> None:
        delta = RouteDelta(2, snapshot=False, routes=(route,))
        self.front.plane.change_routes(delta, self.table.apply(delta).changed)

    async def restart_s(self) -> float:
        """Return the time from the start of a worker until it serves clients."""
        link = self.front.plane.links[0]
        os.kill(self.workers.pids[0], signal.SIGKILL)
        for is_ready in (False, True):
            while link.is_ready is not is_ready:
                await asyncio.sleep(PAUSE_S)
        return time.perf_counter() - self.workers.started_s


@contextlib.asynccontextmanager
async def running_plane(count: int) -> AsyncGenerator[Plane]:
    table, workers = RouteTable(), Workers(exec_python("-m", WORKER))
    metrics = Metrics(CollectorRegistry())
    front = start_front(
        metrics, table, Nowhere(), has_agent=False, start_worker=workers.start, workers=count
    )
    async with front as started:
        yield Plane(started, table, workers)


async def until_known(port: int, name: str) -> None:
    while await alert_of(port, client_hello(name)) == UNRECOGNIZED_NAME:
        await asyncio.sleep(PAUSE_S)


async def measure_plane(size: int, count: int) -> Figures:
    """Return the memory of each worker, and how long one needs to be ready."""
    async with running_plane(count) as plane:
        await plane.fill(size)
        each = [resident_kib({"worker": pid})["worker"] / 1024 for pid in plane.workers.pids]
        return {"worker_mib": statistics.mean(each), "ready_s": await plane.restart_s()}


async def measure_pauses(size: int) -> Figures:
    """Return the longest pauses of control, and the processor time of a worker, by what happens meanwhile."""
    figures: Figures = {}
    async with running_plane(1) as plane:
        delta = plane.table.compare(RouteDelta(1, snapshot=True, routes=routes(size)))
        async with watching(plane, figures, "idle"):
            await asyncio.sleep(1)
        async with watching(plane, figures, "table"):
            await plane.front.plane.replace_routes(delta)
        async with watching(plane, figures, "change"):
            plane.change(routes(1, owner=1)[0])
        async with watching(plane, figures, "renewal"):
            for number in range(2 * FEW_ROUTES):
                plane.change(Route(ServiceKind.HTTPS, f"{number}.new.eu", TenantId(bytes(32))))
                await asyncio.sleep(PAUSE_S)
            while len(plane.table.layers.changes()) > FEW_ROUTES:
                await asyncio.sleep(PAUSE_S)
    return figures


@contextlib.asynccontextmanager
async def watching(plane: Plane, figures: Figures, what: str) -> AsyncGenerator[None]:
    """Note the longest pause of control, and the processor time of its worker, during the block."""
    pauses: list[float] = []
    heart = asyncio.create_task(_beat(pauses))
    began, worker_s = time.perf_counter(), cpu_and_delay_s(plane.workers.pids[-1])[0]
    yield
    await asyncio.sleep(0.2)  # for the worker to act
    heart.cancel()
    took_ms = (cpu_and_delay_s(plane.workers.pids[-1])[0] - worker_s) * 1000
    idle_ms = (time.perf_counter() - began) * figures.get("idle_worker_ms", 0.0)
    figures[f"{what}_worker_ms"] = max(0.0, took_ms - idle_ms)
    figures[f"{what}_control_ms"] = max(pauses) * 1000


async def _beat(pauses: list[float]) -> None:
    """Note how late control is, without the time in which it could run, and had no processor."""
    thread = threading.get_native_id()
    while True:
        began, delay = time.perf_counter(), cpu_and_delay_s(thread)[1]
        await asyncio.sleep(PAUSE_S)
        late = time.perf_counter() - began - PAUSE_S
        pauses.append(max(0.0, late - cpu_and_delay_s(thread)[1] + delay))


def cpu_and_delay_s(thread: int) -> tuple[float, float]:
    """Return the processor time of a thread, and how long it waited for a processor."""
    cpu_ns, delay_ns, _ = Path(f"/proc/{thread}/schedstat").read_text().split()
    return int(cpu_ns) / 1e9, int(delay_ns) / 1e9


# All of it.

ROWS = (
    ("look-up of a name for the first time, us", "first_us"),
    ("— again", "again_us"),
    ("— by a wildcard", "wildcard_us"),
    ("— that is not there", "none_us"),
    ("the same in a table of objects, us", "plain_first_us"),
    ("— again", "plain_again_us"),
    ("— by a wildcard", "plain_wildcard_us"),
    ("— that is not there", "plain_none_us"),
    ("index, MiB", "index_mib"),
    ("— written, CPU s", "write_cpu_s"),
    ("— renewed with 1000 changes, CPU s", "renew_cpu_s"),
    ("— taken into use by a worker, us", "use_us"),
    ("memory of a worker, MiB: one worker", "worker_mib_1"),
    ("— two", "worker_mib_2"),
    ("— four", "worker_mib_4"),
    ("a new worker is ready after, s", "ready_s_1"),
    ("longest pause of control when idle, ms", "idle_control_ms"),
    ("— while the whole table is replaced", "table_control_ms"),
    ("— one route changes", "change_control_ms"),
    ("— 2000 routes change one by one", "renewal_control_ms"),
    ("processor time of a worker in a second of idleness, ms", "idle_worker_ms"),
    ("— for a whole table", "table_worker_ms"),
    ("— for one change", "change_worker_ms"),
    ("— for 2000 changes", "renewal_worker_ms"),
)


async def measure(size: int, workers: Sequence[int]) -> Figures:
    """Return all figures of one size."""
    figures = measure_index(size)
    for count in workers:
        found = await measure_plane(size, count)
        figures |= {f"{name}_{count}": value for name, value in found.items()}
    return figures | await measure_pauses(size)


def run_all(sizes: Sequence[int], workers: Sequence[int]) -> Iterator[tuple[int, Figures]]:
    """Measure each size in a process of its own."""
    for size in sizes:
        print(f"{size} names …", file=sys.stderr, flush=True)
        command = [sys.executable, __file__, "--size", str(size), "--workers", _join(workers)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        yield size, json.loads(done.stdout.splitlines()[-1])


def draw(found: dict[int, Figures]) -> str:
    """Return the figures as Markdown, a column for each size."""
    head = ["", *(f"{size:,} names" for size in found)]
    lines = [head, ["---", *("---:" for _ in found)]]
    for title, name in ROWS:
        if any(name in figures for figures in found.values()):
            lines.append([title, *(format_number(each[name]) for each in found.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=_split, default=SIZES, help="names in the table")
    parser.add_argument("--workers", type=_split, default=WORKERS, help="worker processes")
    parser.add_argument(
        "--json", type=Path, default=Path("routes.json"), help="file of all figures"
    )
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.size:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        print(json.dumps(asyncio.run(measure(chosen.size, chosen.workers))))
    else:
        found: dict[int, Figures] = {}
        for size, figures in run_all(chosen.sizes, chosen.workers):
            found[size] = figures
            chosen.json.write_text(json.dumps(found, indent=1) + "\n")
        print(draw(found))


def _split(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _join(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


if __name__ == "__main__":
    main()
