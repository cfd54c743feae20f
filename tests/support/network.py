"""Network namespaces: a machine of the test's own behind a link, which can go away without a word."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Generator
from dataclasses import dataclass
from itertools import count

_numbers = count()


@dataclass(frozen=True)
class FarMachine:
    """A machine behind a link: `near` is our address on it, `far` is its own."""

    name: str
    near: str
    far: str

    def connect(self, port: int) -> socket.socket:
        """Return a socket of that machine, connected to a port of ours."""
        made: list[socket.socket] = []
        thread = threading.Thread(target=lambda: made.append(self._connect(port)))
        thread.start()
        thread.join()
        made[0].setblocking(False)
        return made[0]

    def vanish(self) -> None:
        """Take its address away: what is sent to it is dropped, and nothing says so."""
        _ip("-n", self.name, "address", "del", f"{self.far}/30", "dev", "far")

    def _connect(self, port: int) -> socket.socket:
        """Connect in a thread, which is moved: the others stay where they are."""
        with open(f"/run/netns/{self.name}") as namespace:  # noqa: PTH123 a descriptor is needed
            os.setns(namespace.fileno(), os.CLONE_NEWNET)
        return socket.create_connection((self.near, port), timeout=10)


@contextlib.contextmanager
def far_machine() -> Generator[FarMachine]:
    """Make such a machine; only root can."""
    number = next(_numbers) % 64
    prefix = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"
    machine = FarMachine(
        f"towonel-{os.getpid()}-{number}",
        f"{prefix}.{number * 4 + 1}",
        f"{prefix}.{number * 4 + 2}",
    )
    link = f"t{os.getpid()}n{number}"[:15]
    _ip("netns", "add", machine.name)
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "far", "netns", machine.name)
        _ip("address", "add", f"{machine.near}/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", machine.name, "address", "add", f"{machine.far}/30", "dev", "far")
        _ip("-n", machine.name, "link", "set", "far", "up")
        yield machine
    finally:
        _ip("netns", "del", machine.name)  # and the link with it


def _ip(*arguments: str) -> None:
    subprocess.run(["/usr/sbin/ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def listener_of(machine: FarMachine) -> Generator[socket.socket]:
    """A listening socket of that machine, made in a thread that is moved there."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{machine.name}") as namespace:  # noqa: PTH123 a descriptor is needed
            os.setns(namespace.fileno(), os.CLONE_NEWNET)
        made.append(socket.create_server((machine.far, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as listener:
        yield listener
