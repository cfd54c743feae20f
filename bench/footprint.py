"""Footprint of each program at rest: its imports, its start, its memory, its health check; and what an image weighs.

    make bench-footprint
    make bench-footprint BENCH_ARGS="--rest 30 --rounds 5"

Hub, edge and agent run as their users start them, on SQLite, without a client. Prints a table (Markdown).

imports: processor time of an interpreter that imports the program. start: of all its processes, until it is ready.
linked: from exec to the line of the log which says that the agent has a link, or that hub and edge have started.
memory: of all its processes after a rest, without what it maps of files, as of a container without its page cache;
with files: the proportional set size (PSS), in which processes of the machine share programs and libraries. health: processor time of a health check. image: what a pull transfers,
where a Docker engine has the image; its layers, compressed with gzip.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from process_usage import cpu_s, resident_kib
from results import format_number
from support.programs import OwnProcess, Program, own_processes
from support.stack import Node, Stack, service

PROGRAMS = ("hub", "edge", "agent")
EVENTS = {"hub": "hub.started", "edge": "edge.started", "agent": "link.opened"}
HOSTNAME, ORIGIN = "app.example.eu", 4443  # nobody asks for it
LOOK_S = 0.002
COLUMNS = (
    "imports, CPU ms",
    "start, CPU ms",
    "linked, ms",
    "memory, MB",
    "with files, MB",
    "health, CPU ms",
)


@dataclass
class Figures:
    """Figures of one program by column, of each round."""

    by_column: dict[str, list[float]] = field(default_factory=dict)

    def add(self, column: str, value: float) -> None:
        self.by_column.setdefault(column, []).append(value)

    def median(self, column: str) -> float:
        return statistics.median(self.by_column[column])


def spent_ms(*arguments: str, environ: Mapping[str, str] | None = None) -> float:
    """Return the processor time of an interpreter that does something."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run((sys.executable, *arguments), env=environ, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


async def has_line(log: Path, event: str) -> None:
    """Wait for an event in a log, looked for often: how long it takes is what is measured."""
    while not (log.exists() and event in log.read_text()):
        await asyncio.sleep(LOOK_S)


async def start(
    folder: Path, number: int, name: str, start_node: Callable[[], Awaitable[Node[Program]]]
) -> tuple[Node[Program], float]:
    """Start a program, and return it with the milliseconds until its event."""
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        node = tasks.create_task(_await(start_node()))
        await has_line(folder / f"{number}-{name}.log", EVENTS[name])
        took_ms = 1000 * (time.perf_counter() - begin)
    return node.result(), took_ms


async def _await(node: Awaitable[Node[Program]]) -> Node[Program]:
    return await node


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Mapping[str, tuple[Node[Program], float]]]:
    """Run the three programs, each with the milliseconds until its event."""
    async with own_processes(folder, forked=False) as runner:
        stack = Stack(runner, folder / "state")
        found = {"hub": await start(folder, 0, "hub", stack.start_hub)}
        found["edge"] = await start(folder, 1, "edge", stack.start_edge)
        token = await stack.invite(HOSTNAME)

        def start_agent() -> Awaitable[Node[Program]]:
            return stack.start_agent(token, service(HOSTNAME, ORIGIN))

        found["agent"] = await start(folder, 2, "agent", start_agent)
        yield found


def pid_of(node: Node[Program]) -> int:
    assert isinstance(node.program, OwnProcess)
    return node.program.process.pid


async def measure(all_figures: Mapping[str, Figures], rest_s: float) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-footprint-") as folder:
        async with running(Path(folder)) as nodes:
            roots = {name: pid_of(node) for name, (node, _) in nodes.items()}
            starts = cpu_s(roots)
            await asyncio.sleep(rest_s)
            own, mapped = resident_kib(roots, "Pss_Anon"), resident_kib(roots)
            for name, (node, linked_ms) in nodes.items():
                figures = all_figures[name]
                figures.add("imports, CPU ms", spent_ms("-c", f"import towonel.{name}.app"))
                figures.add("start, CPU ms", 1000 * starts[name])
                figures.add("linked, ms", linked_ms)
                figures.add("memory, MB", own[name] * 1024 / 1e6)
                figures.add("with files, MB", mapped[name] * 1024 / 1e6)
                check = ("-m", f"towonel.{name}", "--health")
                figures.add("health, CPU ms", spent_ms(*check, environ=node.environ))


def image_sizes() -> Mapping[str, int]:
    """Return the compressed bytes of the images that an engine has; none without one."""
    docker = shutil.which("docker")
    if docker is None:
        return {}
    names = ("towonel-hub", "towonel-edge", "towonel-agent", "towonel", "towonel-hub-caddy")
    listed = subprocess.run((docker, "images", "-q", *names[:1]), capture_output=True, check=False)
    if listed.returncode:
        return {}
    sizes = {name: compressed_size((docker, "save", name)) for name in names}
    return {name: size for name, size in sizes.items() if size}


def compressed_size(command: Iterable[str]) -> int:
    """Return how many bytes the output of a command takes, compressed as registries have it; 0 if it fails."""
    compressor, size = zlib.compressobj(6, wbits=31), 0
    with subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as made:
        assert made.stdout
        while part := made.stdout.read(1 << 20):
            size += len(compressor.compress(part))
    return 0 if made.returncode else size + len(compressor.flush())


def report(all_figures: Mapping[str, Figures], images: Mapping[str, int]) -> str:
    rows = [["", *COLUMNS], ["---", *("---:" for _ in COLUMNS)]]
    for name, figures in all_figures.items():
        rows.append([name, *(format_number(figures.median(column)) for column in COLUMNS)])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if images:
        lines += ["", "| image | compressed, MB |", "|---|---:|"]
        lines += [f"| `{name}` | {size / 1e6:.0f} |" for name, size in images.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all of it is started")
    parser.add_argument("--rest", type=float, default=10, help="seconds of rest before memory")
    parser.add_argument("--json", type=Path, help="where every figure is written")
    chosen = parser.parse_args()
    found = {name: Figures() for name in PROGRAMS}
    for _ in range(chosen.rounds):
        asyncio.run(measure(found, chosen.rest))
    images = image_sizes()
    if chosen.json:
        figures = {name: each.by_column for name, each in found.items()}
        chosen.json.write_text(json.dumps({"programs": figures, "images": images}, indent=1))
    print(report(found, images), flush=True)


if __name__ == "__main__":
    main()
