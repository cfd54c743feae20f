"""Control groups of memory: what the kernel charges to all processes of a program, its own buffers included.

What counts is all that a group is charged with, its page cache left out: files that were read or written
(modules, logs) stay in memory until somebody else needs it. Shared memory is not left out, though the
kernel counts it as cache: nobody can take that away. So there are:

- anonymous memory, of control and workers;
- the kernel's objects: sockets, descriptors, page tables, stacks, and the bytes that were written into pipes;
- buffers of TCP and UDP, as large as the kernel takes them for, what it needs beside the bytes included.

Bytes that `splice` took from a socket to a pipe are charged to nobody any more: `support.memory.in_pipes`.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
UNLIMITED = str(2**62)  # bytes; v1 counts buffers of sockets once they have a limit
LEAVING_S = 10.0
MADV_POPULATE_WRITE = 23  # since Linux 5.14; Python has no name for it


class NoGroupError(Exception):
    """No control group of memory can be made here, with the reason."""


@dataclass(frozen=True)
class MemoryGroup:
    """A control group of memory, of either version."""

    folder: Path
    version: int

    def usage(self) -> int:
        """Return the bytes that the kernel charges to it now, without its page cache."""
        names = FILES[self.version]
        texts = {name: (self.folder / name).read_text() for name in names}
        return (parse_usage_v1 if self.version == 1 else parse_usage_v2)(texts)


FILES = {
    1: ("memory.usage_in_bytes", "memory.kmem.tcp.usage_in_bytes", "memory.stat"),
    2: ("memory.current", "memory.stat"),
}


def parse_usage_v1(texts: dict[str, str]) -> int:
    """Return what files of version 1 say: buffers of sockets have a counter of their own."""
    stat = parse_stat(texts["memory.stat"])
    cache = stat["total_cache"] - stat["total_shmem"]
    charged, sockets, _ = (texts[name] for name in FILES[1])
    return int(charged) + int(sockets) - cache


def parse_usage_v2(texts: dict[str, str]) -> int:
    """Return what files of version 2 say: one counter has all."""
    stat = parse_stat(texts["memory.stat"])
    return int(texts["memory.current"]) - (stat["file"] - stat["shmem"])


def parse_stat(text: str) -> dict[str, int]:
    """Return the values of `memory.stat`."""
    pairs = (line.split() for line in text.splitlines())
    return {name: int(value) for name, value in pairs}


def parse_mounts(text: str) -> dict[int, Path]:
    """Return where the hierarchy of each version is mounted; of version 1, the one for memory."""
    found: dict[int, Path] = {}
    for line in text.splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found[2] = Path(folder)
        elif kind == "cgroup" and "memory" in options.split(","):
            found[1] = Path(folder)
    return found


@contextlib.contextmanager
def memory_groups(*names: str) -> Generator[dict[str, MemoryGroup]]:
    """Make a group for each name, for processes that have ended when the context does.

    Raises:
        NoGroupError: where the machine has none, or this user may make none.
    """
    version, root = find_root(parse_mounts(MOUNTS.read_text()))
    with contextlib.ExitStack() as exits:
        made: dict[str, MemoryGroup] = {}
        for name in names:
            folder = root / f"towonel-test-{os.getpid()}-{time.monotonic_ns()}-{name}"
            made[name] = MemoryGroup(folder, version)
            make(made[name])
            exits.callback(remove, folder)
        yield made


def find_root(mounts: dict[int, Path]) -> tuple[int, Path]:
    """Return the version that counts memory here, and the folder that groups are made in."""
    if 1 in mounts:
        return 1, mounts[1]
    if 2 not in mounts:
        raise NoGroupError("no control groups are mounted")
    if "memory" not in (mounts[2] / "cgroup.controllers").read_text().split():
        raise NoGroupError("control groups have no memory controller")
    return 2, mounts[2]


def make(group: MemoryGroup) -> None:
    """Make a group that counts buffers of sockets, too."""
    try:
        if group.version == 2:
            (group.folder.parent / "cgroup.subtree_control").write_text("+memory")
        group.folder.mkdir()
        if group.version == 1:
            (group.folder / "memory.kmem.tcp.limit_in_bytes").write_text(UNLIMITED)
    except OSError as error:
        with contextlib.suppress(OSError):
            group.folder.rmdir()
        raise NoGroupError(f"no control group can be made: {error}") from None


def enter(folder: Path) -> None:
    """Let this process, which was forked, be one of a group, which is charged with all of its pages at once.

    Of those that it shares with its parent, the group would else be charged with each that it writes to, later.
    """
    (folder / "cgroup.procs").write_text("0")
    libc = ctypes.CDLL(None, use_errno=True)
    for start, size in parse_writable(Path("/proc/self/maps").read_text()):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), MADV_POPULATE_WRITE):
            raise OSError(ctypes.get_errno(), "cannot write to own pages")


def parse_writable(maps: str) -> list[tuple[int, int]]:
    """Return start and size of each private mapping that may be written to."""
    lines = (line.split(maxsplit=2) for line in maps.splitlines())
    ranges = (each[0].split("-") for each in lines if each[1] == "rw-p")
    return [(int(start, 16), int(end, 16) - int(start, 16)) for start, end in ranges]


def remove(folder: Path) -> None:
    """Remove a group once the last of its processes has left it."""
    until_s = time.monotonic() + LEAVING_S
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)
        else:
            return
