"""Allocator of free ports, of which no two test processes hand out the same."""

import fcntl
import os
import socket
import tempfile
from itertools import cycle, islice
from pathlib import Path

FIRST, LAST = 16_000, 32_000  # below the range that the kernel takes for outgoing connections
SLOT_SIZE = 400


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
    for start in range(FIRST, LAST, SLOT_SIZE):
        held = os.open(folder / str(start), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
        else:
            return range(start, start + SLOT_SIZE)
    raise RuntimeError(f"all ranges of ports in {folder} are taken by other test processes")


SLOT_PORTS = reserve_slot()
_next = cycle(SLOT_PORTS)  # round and round: a port long closed may serve again


def free_port() -> int:
    """Return a port that nothing listens on, another one than the calls before it."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of so many free ports in a row, none of which a later call returns soon."""
    for port in islice(_next, 2 * len(SLOT_PORTS)):
        row = range(port, port + count)
        if row[-1] in SLOT_PORTS and all(map(is_free, row)):
            list(islice(_next, count - 1))
            return port
    raise RuntimeError(f"no {count} free ports in {SLOT_PORTS}")
