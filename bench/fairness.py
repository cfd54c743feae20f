"""Benchmark of fair shares: what a greedy tenant of an edge costs a quiet one.

    python bench/fairness.py [--connections 500] [--seconds 5] [--bandwidth 100M]

A quiet tenant has one client, which sends 1 KiB and waits for it to come back, again and again. It is measured alone, and
beside a greedy tenant with many connections: downloads, uploads, messages. With a bandwidth the greedy one is limited.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from load_driver import Driver, Outcome, build_driver, cache_folder, run_driver
from support.programs import own_processes
from support.stack import Stack, service, until

from towonel.api.invites import InviteEdit
from towonel.cli.options.limits import parse_limits

GREEDY, QUIET = "greedy.bench.example.eu", "quiet.bench.example.eu"
MODES = ("down", "up", "echo")


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="What a greedy tenant costs a quiet one.")
    parser.add_argument("--connections", type=int, default=500, help="of the greedy tenant")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--bandwidth", help="limit of the greedy tenant, as in 100M")
    return parser.parse_args()


async def start(stack: Stack, origin: int, bandwidth: str | None) -> None:
    """Start hub and edge, and an agent of each tenant."""
    await stack.start_hub()
    await stack.start_edge()
    for name in (GREEDY, QUIET):
        invite = await stack.new_invite(name)
        await stack.start_agent(invite.token, service(name, origin))
        limits = parse_limits(bandwidth=bandwidth if name == GREEDY else None)
        if limits is not None:
            async with stack.operator() as operator:
                await operator.invites.update(invite.invite_id, InviteEdit(limits=limits))
            await until(stack.edges_are_up_to_date)


async def measure(driver: Driver, port: int, seconds: float) -> Outcome:
    """Return what the quiet tenant gets."""
    async with driver.load("echo", port, 1, seconds, QUIET) as load:
        await load.run()
        return await load.outcome()


async def measure_beside(driver: Driver, port: int, mode: str, options: argparse.Namespace) -> None:
    """Print what it gets beside the greedy tenant, and what that one gets."""
    seconds = options.seconds
    async with driver.load(mode, port, options.connections, seconds + 3, GREEDY) as load:
        running = asyncio.create_task(load.run())
        await asyncio.sleep(1.0)
        quiet = await measure(driver, port, seconds)
        await running
        greedy = await load.outcome()
    rate = greedy.bytes * 8 / greedy.seconds / 1e6
    write(f"beside {options.connections} x {mode}", quiet, f"greedy: {rate:.0f} Mbit/s")


def write(what: str, quiet: Outcome, more: str = "") -> None:
    """Print a line of the table."""
    per_s = quiet.operations / quiet.seconds
    print(
        f"| {what} | {per_s:.0f} | {quiet.p50_us:.0f} | {quiet.p99_us:.0f} | {more} |", flush=True
    )


async def run(options: argparse.Namespace) -> None:
    """Start everything, and print the table."""
    program = build_driver(cache_folder())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with run_driver(program) as driver, own_processes(folder, forked=False) as runner:
            stack = Stack(runner, folder / "state")
            await start(stack, driver.origin_port, options.bandwidth)
            print("| quiet tenant | messages/s | p50 us | p99 us | |\n|---|---|---|---|---|")
            write("alone", await measure(driver, stack.edge_port, options.seconds))
            for mode in MODES:
                await measure_beside(driver, stack.edge_port, mode, options)


if __name__ == "__main__":
    sys.exit(asyncio.run(run(parse_arguments())))
