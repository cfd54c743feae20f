"""Memory of processes: resident, and what the kernel holds for their connections."""

import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterable
from pathlib import Path

from support.clients import run
from support.programs import OwnProcess, resident_bytes_of
from support.stack import Stack

_SKMEM = re.compile(r"pid=(\d+),.*?skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)", re.DOTALL)


def processes_of(stack: Stack) -> list[int]:
    """Return the processes of edges and agents: each control, and each worker."""
    pids: list[int] = []
    for node in (*stack.edges, *stack.agents):
        assert isinstance(node.program, OwnProcess), "memory is that of a process of its own"
        pids += [node.program.process.pid, *node.program.workers()]
    return pids


def resident(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident bytes of each process."""
    return {pid: resident_bytes_of(pid) for pid in pids}


async def in_kernel(pids: Iterable[int]) -> dict[int, int]:
    """Return the bytes that the kernel holds in TCP sockets and pipes of each process."""
    held = {pid: _in_pipes(pid) for pid in pids}
    code, listed = await run("ss", "-tmnpH")
    assert code == 0, listed
    for match in _SKMEM.finditer(listed):
        pid, *parts = map(int, match.groups())
        if pid in held:
            held[pid] += sum(parts)
    return held


def _in_pipes(pid: int) -> int:
    """Return the bytes in pipes of a process, each of which has two descriptors."""
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    named = {str(path.readlink()): path for path in descriptors}
    return sum(_count_readable(path) for name, path in named.items() if name.startswith("pipe:"))


def _count_readable(pipe: Path) -> int:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return int(struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0])
    finally:
        os.close(reader)
