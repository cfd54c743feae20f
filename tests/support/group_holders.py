"""Holders of memory in a control group: what its processes hold, and what the kernel holds for them."""

import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from support.cgroups import enter

HELD = 4 << 20


def hold_own() -> object:
    return b"x" * HELD


def hold_shared() -> object:
    descriptor = os.memfd_create("held")
    os.write(descriptor, b"x" * HELD)
    return descriptor


def hold_in_pipes() -> object:
    pipes = [os.pipe() for _ in range(HELD // 65_536)]
    for _, writer in pipes:
        os.write(writer, bytes(65_536))
    return pipes


def hold_in_sockets() -> object:
    """Hold bytes in receive buffers of TCP, which nobody reads."""
    pairs = [_connect() for _ in range(HELD // 65_536)]
    for sender, _ in pairs:
        sender.sendall(bytes(65_536))
    return pairs


def _connect() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    return sender, receiver


def hold_files(path: str) -> object:
    """Leave bytes of a file in the page cache, which is no memory of a process."""
    Path(path).write_bytes(bytes(HELD))
    return path


def hold(
    folder: Path, make: Callable[..., object], arguments: tuple[str, ...], connection: Connection
) -> None:
    """Enter a group, and hold what is made once the other end says so, until it closes."""
    enter(folder)
    connection.send("entered")
    connection.recv()
    held = make(*arguments)
    connection.send("held")
    connection.poll(None)
    del held
