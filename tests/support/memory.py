"""Memory of processes: resident, what the kernel holds for their connections, and that of their group."""

import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterable
from pathlib import Path

from support.clients import run
from support.descriptors import links_of
from support.programs import OwnProcess, ProcessRunner, resident_bytes_of
from support.stack import Stack

_SKMEM = re.compile(r"pid=(\d+),.*?skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)", re.DOTALL)


def processes_of(stack: Stack) -> list[int]:
    """Return the processes of edges and agents: each control, and each worker."""
    return [pid for pids in processes_by_program(stack).values() for pid in pids]


def processes_by_program(stack: Stack) -> dict[str, list[int]]:
    """Return the processes of all edges, and those of all agents."""
    found: dict[str, list[int]] = {}
    for name, nodes in (("edge", stack.edges), ("agent", stack.agents)):
        programs = [node.program for node in nodes]
        assert all(isinstance(it, OwnProcess) for it in programs), "it has a process of its own"
        own = [it for it in programs if isinstance(it, OwnProcess)]
        found[name] = [pid for it in own for pid in (it.process.pid, *it.workers())]
    return found


def resident(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident bytes of each process."""
    return {pid: resident_bytes_of(pid) for pid in pids}


async def in_kernel(pids: Iterable[int]) -> dict[int, int]:
    """Return the bytes that the kernel holds in TCP sockets and pipes of each process."""
    held = {pid: in_pipes(pid) for pid in pids}
    code, listed = await run("ss", "-tmnpH")
    assert code == 0, listed
    for match in _SKMEM.finditer(listed):
        pid, *parts = map(int, match.groups())
        if pid in held:
            held[pid] += sum(parts)
    return held


class GroupMeter:
    """Meter of what the groups of a stack's programs hold more than they did, in kernel and processes."""

    def __init__(self, stack: Stack) -> None:
        assert isinstance(stack.runner, ProcessRunner), "its programs have groups"
        pids = processes_by_program(stack)
        self._groups = {name: (group, pids[name]) for name, group in stack.runner.groups.items()}
        self._before = self._held()

    def growth(self) -> dict[str, int]:
        """Return by how much each program has grown."""
        return {name: held - self._before[name] for name, held in self._held().items()}

    def _held(self) -> dict[str, int]:
        return {
            name: group.usage() + sum(map(in_pipes, pids))
            for name, (group, pids) in self._groups.items()
        }


def in_pipes(pid: int) -> int:
    """Return the bytes in pipes of a process, each of which has two descriptors."""
    named = {link: path for path, link in links_of(pid)}
    return sum(_count_readable(path) for name, path in named.items() if name.startswith("pipe:"))


def _count_readable(pipe: Path) -> int:
    try:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:  # it is closed meanwhile
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0])
    finally:
        os.close(reader)
