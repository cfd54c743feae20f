"""Benchmark of Towonel next to a direct connection, and to peers that are installed.

    make bench BENCH_ARGS="--seconds 3 --rounds 3 --paths direct,towonel,haproxy"

Prints one JSON line a measurement, and a table of medians with their ratio to the direct path.
Figures depend on the machine and on what else it does: read them side by side, never alone.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

from paths import PATHS, available, hostname
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
CELLS = (("bulk", 1), ("bulk", 8), ("echo", 1), ("echo", 32), ("conn", 8))
type Results = dict[tuple[str, int, str], dict[str, list[float]]]


async def python(script: str, *arguments: str) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / script), *arguments, stdout=PIPE
    )
    output, _ = await process.communicate()
    return dict(json.loads(output))


@contextlib.asynccontextmanager
async def origin() -> AsyncIterator[dict[str, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "origin.py"), stdout=PIPE
    )
    assert process.stdout
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def run(paths: list[str], seconds: float, rounds: int) -> Results:
    """Measure every cell on every path, all paths within each round."""
    results: Results = defaultdict(lambda: defaultdict(list))
    async with contextlib.AsyncExitStack() as exits:
        origins = await exits.enter_async_context(origin())
        ports = {}
        for path in paths:
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix=f"bench-{path}-")))
            ports[path] = await exits.enter_async_context(PATHS[path](folder, origins))
        for number in range(rounds):
            for name, connections in CELLS:
                for path in paths:
                    where = (str(ports[path][name]), hostname(name), str(connections), str(seconds))
                    figures = await python("workloads.py", name, *where)
                    cell = {"workload": name, "connections": connections, "path": path}
                    print(json.dumps({**cell, "round": number, **figures}), flush=True)
                    for key, value in figures.items():
                        results[name, connections, path][key].append(value)
    return results


def table(results: Results) -> Table:
    """The medians, each next to its ratio to the direct path of the same run."""
    drawn = Table(title="medians; x = ratio to direct")
    for column in ("workload", "connections", "path", "figure", "median", "x direct"):
        drawn.add_column(column, justify="left" if column in {"workload", "path"} else "right")
    for (name, connections, path), figures in sorted(results.items()):
        for key, values in figures.items():
            median = statistics.median(values)
            base = results.get((name, connections, "direct"), {}).get(key)
            ratio = f"{median / statistics.median(base):.3f}" if base else ""
            drawn.add_row(name, str(connections), path, key, f"{median:,.3f}", ratio)
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="how long each measurement takes")
    parser.add_argument("--rounds", type=int, default=3, help="how often; the median is printed")
    parser.add_argument("--paths", default=",".join(PATHS), help="which paths, comma-separated")
    chosen = parser.parse_args()
    names = available(chosen.paths.split(","))
    Console(stderr=True).print(table(asyncio.run(run(names, chosen.seconds, chosen.rounds))))
