"""Free ports that no two test processes hand out, whichever run they belong to."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

FIRST, LAST, SLOT = 16_000, 32_000, 400  # below the range the kernel takes for outgoing connections


def is_free(port: int) -> bool:
    """Nothing listens on it, neither on TCP nor on UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def reserve_slot() -> range:
    """Take a range of ports that is this process's until it ends: the lock ends with it."""
    folder = Path(tempfile.gettempdir()) / f"towonel-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for start in range(FIRST, LAST, SLOT):
        held = os.open(folder / str(start), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
        else:
            return range(start, start + SLOT)
    raise RuntimeError(f"all ranges of ports in {folder} are taken by other test processes")


def free_ports(slot: range) -> Iterator[int]:
    """Yield the free ports of a range, round and round: a port long closed may serve again."""
    while True:
        yield from (port for port in slot if is_free(port))


_ports = free_ports(reserve_slot())


def free_port() -> int:
    return next(_ports)
