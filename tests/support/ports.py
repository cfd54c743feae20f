"""Free ports that two test workers never hand out twice."""

import os
import socket
from collections.abc import Iterator
from itertools import count

FIRST, PER_WORKER = 20_000, 2_500  # below the range the kernel takes for outgoing connections


def is_free(port: int) -> bool:
    """Nothing listens on it, neither on TCP nor on UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = FIRST + (worker % 4) * PER_WORKER + os.getpid() % 500
    return (port for port in count(start) if is_free(port))


_ports = ports()


def free_port() -> int:
    return next(_ports)
