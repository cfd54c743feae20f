"""Benchmark of datagrams: echoes of UDP through Towonel and its peers, on the same work in the same run.

    python bench/datagrams.py [--subjects direct,towonel,rathole,frp] [--rounds 3] [--seconds 3] [--size 1200]

Each subject is between a client and an origin that echoes. The client keeps so many datagrams under way: 32, then 1. The
table has medians of the rounds, and ratios to those peers that are there; processor time is of both sides together.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
from load_driver import SOURCE, build_driver, cache_folder
from process_usage import Roots, cpu_s
from subject import Entry, find
from support.ports import free_port
from support.programs import OwnProcess, own_processes
from support.stack import Stack, until
from support.udp_origins import is_answered

WINDOWS = (32, 1)
PEERS = ("rathole", "frp")  # that others are compared with
type Start = Callable[[Path, int], AbstractAsyncContextManager[Entry]]


@dataclass(frozen=True)
class Echoes:
    """Outcome of one measurement."""

    per_s: float
    lost: int
    p50_us: float
    p99_us: float
    cpu_us: float  # an echo


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="Echoes of UDP through Towonel and its peers.")
    names = ",".join(SUBJECTS)
    parser.add_argument("--subjects", default=names, help=f"of {names}; all that are installed")
    parser.add_argument("--rounds", type=int, default=3, help="of all subjects in turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--size", type=int, default=1200, help="of a datagram, in bytes")
    return parser.parse_args()


@contextlib.asynccontextmanager
async def direct(_folder: Path, origin: int) -> AsyncIterator[Entry]:
    """Nothing in between."""
    yield Entry(origin)


@contextlib.asynccontextmanager
async def towonel(folder: Path, origin: int) -> AsyncIterator[Entry]:
    """Hub, edge and agent as their users start them, with a UDP service."""
    async with own_processes(folder, forked=False) as runner:
        stack, port = Stack(runner, folder / "state"), free_port()
        await stack.start_hub()
        edge = await stack.start_edge()
        service = {"name": "echo", "origin": f"127.0.0.1:{origin}", "listen_port": port}
        token = await stack.invite("datagrams.bench.example.eu")
        agent = await stack.start_agent(token, TOWONEL_AGENT_UDP_SERVICES=json.dumps([service]))
        assert isinstance(edge.program, OwnProcess)
        assert isinstance(agent.program, OwnProcess)
        pids = {"server": edge.program.process.pid, "client": agent.program.process.pid}
        yield Entry(port, pids)


SUBJECTS: dict[str, Start] = {
    "direct": direct,
    "towonel": towonel,
    "rathole": peers.rathole_udp,
    "frp": peers.frp_udp,
}
PROGRAMS = {"rathole": "rathole", "frp": "frps"}


async def measure(client: Path, entry: Entry, window: int, options: argparse.Namespace) -> Echoes:
    """Return what a client gets."""
    await until(partial(is_answered, entry.port))
    words = ("client", entry.port, options.size, window, options.seconds)
    before = sum_cpu(entry.roots)
    process = await asyncio.create_subprocess_exec(client, *map(str, words), stdout=PIPE)
    output, _ = await process.communicate()
    used_s = sum_cpu(entry.roots) - before
    echoed, lost, seconds, p50_us, p99_us = map(float, output.split())
    return Echoes(echoed / seconds, int(lost), p50_us, p99_us, 1e6 * used_s / max(1.0, echoed))


def sum_cpu(roots: Roots) -> float:
    """Return the processor time of the processes of both sides, in seconds."""
    return sum(cpu_s(roots).values())


@contextlib.asynccontextmanager
async def run_origin(program: Path) -> AsyncIterator[int]:
    """Run the origin, and return its port."""
    process = await asyncio.create_subprocess_exec(program, "origin", stdout=PIPE)
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


def median(values: list[Echoes]) -> Echoes:
    """Return the median of each figure; of the losses, all."""
    return Echoes(
        statistics.median(each.per_s for each in values),
        sum(each.lost for each in values),
        *(statistics.median(getattr(each, name) for each in values) for name in FIGURES),
    )


FIGURES = ("p50_us", "p99_us", "cpu_us")


def write(results: dict[tuple[str, int], list[Echoes]]) -> None:
    """Print the table."""
    print("| subject | window | echoes/s | lost | p50 us | p99 us | CPU us | to rathole | to frp |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (name, window), values in results.items():
        found, peers_found = median(values), [results.get((peer, window)) for peer in PEERS]
        ratios = [f"{found.per_s / median(each).per_s:.2f}" if each else "" for each in peers_found]
        figures = f"{found.per_s:.0f} | {found.lost} | {found.p50_us:.0f} | {found.p99_us:.0f}"
        print(f"| {name} | {window} | {figures} | {found.cpu_us:.1f} | {' | '.join(ratios)} |")


async def run(options: argparse.Namespace) -> int:
    """Measure all subjects in turn, and print the table; return the exit status."""
    program = build_driver(cache_folder(), SOURCE.with_name("datagrams.c"))
    wanted = [name for name in options.subjects.split(",") if name]
    if unknown := [name for name in wanted if name not in SUBJECTS]:
        print(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
        return 2
    names = [name for name in wanted if name not in PROGRAMS or find(PROGRAMS[name])]
    for name in set(wanted) - set(names):
        print(f"{name} is not installed, and left out", file=sys.stderr)
    results: dict[tuple[str, int], list[Echoes]] = {
        (name, window): [] for window in WINDOWS for name in names
    }
    async with run_origin(program) as origin:
        for number in range(options.rounds):
            for name in names:
                with tempfile.TemporaryDirectory() as folder:
                    async with SUBJECTS[name](Path(folder), origin) as entry:
                        for window in WINDOWS:
                            found = await measure(program, entry, window, options)
                            results[name, window].append(found)
                            print(f"round {number + 1}: {name}, {window}: {found}", file=sys.stderr)
    write(results)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(parse_arguments())))
