"""Processor time, memory and connections of processes and their children, from /proc."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"
type Roots = Mapping[str, int]  # side of a tunnel → process that was started for it


@dataclass(frozen=True)
class Stat:
    """Parent and processor time of a process, from /proc/PID/stat."""

    parent: int
    cpu_ticks: int  # its own, and of children that ended


def cpu_s(roots: Roots) -> dict[str, float]:
    """Return the processor time of each side, of user and system, children included."""
    stats = _stats()
    trees = {side: _tree(pid, stats) for side, pid in roots.items()}
    return {side: sum(stats[pid].cpu_ticks for pid in tree) / TICKS for side, tree in trees.items()}


def resident_kib(roots: Roots, kind: str = "Pss") -> dict[str, float]:
    """Return the memory of each side; of pages that processes share each has its part.

    Its kind is as of /proc/PID/smaps_rollup: Pss for all, Pss_Anon without files of the page cache.
    """
    stats = _stats()
    return {
        side: sum(_proportional_kib(each, kind) for each in _tree(pid, stats))
        for side, pid in roots.items()
    }


def connections_to(root: int, port: int) -> int:
    """Return how many TCP connections to a port a process and its children have."""
    inodes = {inode for pid in _tree(root, _stats()) for inode in _socket_inodes(pid)}
    rows = [line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:]]
    return sum(
        row[3] == ESTABLISHED and row[9] in inodes and int(row[2].rpartition(":")[2], 16) == port
        for row in rows
    )


def _stats() -> dict[int, Stat]:
    found: dict[int, Stat] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(folder.name)] = Stat(int(fields[1]), sum(map(int, fields[11:15])))
    return found


def _tree(root: int, stats: Mapping[int, Stat]) -> Iterable[int]:
    children = defaultdict[int, list[int]](list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    tree = [root] if root in stats else []
    for pid in tree:
        tree += children[pid]
    return tree


def _proportional_kib(pid: int, kind: str) -> int:
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    return int(rollup.partition(f"\n{kind}:")[2].split()[0])


def _socket_inodes(pid: int) -> Iterable[str]:
    try:
        descriptors = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = descriptor.readlink().name
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
