"""Benchmark of Towonel beside a direct connection and the peers that are installed.

    make bench BENCH_ARGS="--seconds 3 --rounds 5"

Prints a table of medians with their ratios to rathole and to a direct connection, and writes all figures
as JSON. bench/README.md tells how to install the peers and how to read it. All traffic is on loopback.
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from cells import DEFAULT, parse_cells
from load_driver import BenchError, build_driver, cache_folder
from results import load_margins, medians, table, with_ratios
from rich.console import Console
from schedule import Report, Schedule
from subjects import SUBJECTS, parse_subjects, version_of, with_workers
from towonel_ways import MAX_WORKERS

ENOUGH = 2.0  # the driver must be that much faster than what it measures
INTERRUPTED = 130
FILES = 65_536


def main() -> int:
    chosen = parse_arguments()
    subjects = with_workers(chosen.subjects, chosen.workers)
    schedule = Schedule(subjects, chosen.cells, chosen.rounds, chosen.seconds, _tell)
    report, status = Report(), 0
    raise_file_limit()
    # What was started ends with the benchmark, however that ends.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    before = describe_run(schedule) | {"workers": chosen.workers}
    try:
        asyncio.run(schedule.run(build_driver(cache_folder()), report))
    except BenchError as error:
        _tell(str(error))
        status = 1
    except KeyboardInterrupt:
        _tell("interrupted; this is what there is so far")
        status = INTERRUPTED
    if report.rows:
        try:
            write_report(before, report, chosen.json)
        except BenchError as error:
            _tell(str(error))
            status = 1
    elif not status:
        _tell("there is nothing to measure")
    return status or int(bool(report.broken) or not report.rows)


def raise_file_limit() -> None:
    """Let every program that is measured open as many files; some would close each number up to a higher limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def write_report(about: dict[str, object], report: Report, path: Path) -> None:
    """Print the table, and write the file; with the file `-` the table goes to standard error."""
    found = medians(report.rows)
    margins = load_margins(found)
    console = Console(stderr=str(path) == "-", width=200)
    with console.capture() as drawn:
        console.print(table(found))
    lines = [line for line in drawn.get().splitlines() if line.strip()]
    console.print("\n".join(lines), markup=False, highlight=False)
    for name, reason in (report.left_out | report.broken).items():
        console.print(f"{name}: {reason}", markup=False, highlight=False)
    for cell, (fastest, times) in margins.items():
        if times < ENOUGH:
            _tell(f"{cell}: driver and origin are only {times:.2f} times as fast as {fastest}")
    content = about | {
        "left_out": report.left_out,
        "broken": report.broken,
        "load_to_fastest": {cell: list(margin) for cell, margin in margins.items()},
        "medians": with_ratios(found),
        "measurements": [asdict(row) for row in report.rows],
    }
    text = json.dumps(content, indent=1) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        path.write_text(text)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror}") from None


def describe_run(schedule: Schedule) -> dict[str, object]:
    """What figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    revision = subprocess.run(
        ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "revision": revision.stdout.strip(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(memory / (1 << 30), 1),
            "kernel": platform.release(),
            "load_before": os.getloadavg()[0],
        },
        "python": platform.python_version(),
        "seconds": schedule.seconds,
        "rounds": schedule.rounds,
        "versions": {
            subject.name: version_of(subject)
            for subject in schedule.subjects
            if subject.version and subject.reason_to_leave_out() is None
        },
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names, cells = ",".join(SUBJECTS), ",".join(DEFAULT)
    option = parser.add_argument
    option("--seconds", type=_positive, default=3.0, help="of each measurement (3)")
    option(
        "--rounds", type=_count(1000), default=3, help="measurements of each cell and subject (3)"
    )
    option(
        "--workers",
        type=_count(MAX_WORKERS),
        default=1,
        help="worker processes of each edge and agent of Towonel (1)",
    )
    option(
        "--subjects",
        type=_list_of(parse_subjects),
        default=names,
        metavar="LIST",
        help=f"what to measure; what is not installed is left out\n({names})",
    )
    option(
        "--cells",
        type=_list_of(parse_cells),
        default=cells,
        metavar="LIST",
        help=f"work and connections, as echo-32; echo alone is all cells of that work\n({cells})",
    )
    option(
        "--json",
        type=_writable,
        default=Path("bench.json"),
        metavar="FILE",
        help="where all figures are written; - is standard output (bench.json)",
    )
    return parser.parse_args(arguments)


def _list_of[T](parse: Callable[[str], list[T]]) -> Callable[[str], list[T]]:
    def parsed(text: str) -> list[T]:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, up to 3600")
    return value


def _count(most: int) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to {most}")
        return int(text)

    return parsed


def _writable(text: str) -> Path:
    path = Path(text)
    if text != "-" and (path.is_dir() or not path.parent.is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r} must be a file in a folder that exists, or -")
    return path


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _tell(message: str) -> None:
    sys.stderr.write(f"bench: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
