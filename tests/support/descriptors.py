"""Descriptors and files of the test process, and a lack of them; and descriptors of other processes."""

import contextlib
import gc
import os
import resource
from collections.abc import Iterator
from pathlib import Path


def open_descriptors() -> set[int]:
    """Return the open descriptors, without the one that lists them, and without what tests before have left to be collected."""
    gc.collect()
    listed = list(Path("/proc/self/fd").iterdir())
    return {int(path.name) for path in listed if path.is_symlink()}


def links_of(pid: int) -> list[tuple[Path, str]]:
    """Return the descriptors of a process that runs, and what each of them is; some close meanwhile."""
    found: list[tuple[Path, str]] = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append((path, str(path.readlink())))
    return found


@contextlib.contextmanager
def use_up_descriptors() -> Iterator[None]:
    """Leave this process one free descriptor, for a client, and none to accept it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(open_descriptors())
    held: list[int] = []
    try:
        # Of two more numbers than there are, at least one is free, even where there are no gaps.
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def forbid_files() -> Iterator[None]:
    """Let this process make no file of any size, in memory neither: EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
