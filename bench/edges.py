"""Benchmark of propagation: from a change to the last of many edges, with Redis and without it.

    make bench-edges BENCH_ARGS="--edges 500 --changes 200"

Two hubs as processes on a Postgres and a Redis of their own, and edges that are the real client. Prints
one JSON line. The edges share the machine with the hubs: much of the time is theirs.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from support import edge_fleet, postgres


async def main(edges: int, changes: int, every_s: float) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-edges-") as folder, postgres.running() as server:
        name = server.database(migrated=False).url.database or ""
        outcome = await edge_fleet.run(
            Path(folder), server.dsn(name), edges=edges, changes=changes, every_s=every_s
        )
    digests = {edge.digest for edge in outcome.fleet.edges}
    figures = {
        "edges": edges,
        "changes": changes,
        "every_s": every_s,
        "tables": len(digests),
        "is_truth": digests == outcome.truth,
        "lost": sum(edge.digest not in outcome.truth for edge in outcome.fleet.edges),
        "set_back": outcome.fleet.set_back,
        "write_ms": edge_fleet.percentiles([c.answered_s - c.sent_s for c in outcome.changes]),
        "last_edge_ms_with_redis": edge_fleet.percentiles(outcome.last_edge_s(with_redis=True)),
        "last_edge_ms_without": edge_fleet.percentiles(outcome.last_edge_s(with_redis=False)),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--edges", type=int, default=500, help="how many follow the routes")
    parser.add_argument("--changes", type=int, default=200, help="how many are made")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two of them")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.edges, chosen.changes, chosen.every))
