"""Processor time, memory and connections of processes that the benchmark did not start itself."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from process_usage import connections_to, cpu_s, resident_kib

WORKS_AND_ENDS = "import time\nwhile time.process_time() < 0.3: pass"
HOLDS = (
    "import sys\nheld = bytearray(b'x' * (32 << 20))\nprint('ready', flush=True)\nsys.stdin.read()"
)
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]])
print("its child ended", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        (sys.executable, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_time_of_children_that_ended_counts() -> None:
    with running("-c", PARENT, "-c", WORKS_AND_ENDS) as process:
        assert process.stdout
        process.stdout.readline()
        spent = cpu_s({"server": process.pid})

    assert 0.3 <= spent["server"] < 3


def test_memory_of_children_counts_and_each_side_has_its_own() -> None:
    with running("-c", PARENT, "-c", HOLDS) as holds, running("-c", "input()") as does_not:
        assert holds.stdout
        holds.stdout.readline()
        resident = resident_kib({"server": holds.pid, "client": does_not.pid})

    assert resident["server"] - resident["client"] > 32 << 10


def test_a_process_that_ended_costs_nothing_more() -> None:
    with running("-c", "") as process:
        process.wait()
    gone = {"server": process.pid}

    assert (cpu_s(gone), resident_kib(gone)) == ({"server": 0}, {"server": 0})


@pytest.mark.parametrize("count", [0, 3])
def test_connections_of_a_process_to_a_port_are_counted(count: int) -> None:
    with contextlib.ExitStack() as exits:
        server = exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        for _ in range(count):
            exits.enter_context(socket.create_connection(("127.0.0.1", port)))

        assert connections_to(os.getpid(), port) == count
        assert connections_to(os.getpid(), port - 1) == 0


def test_connections_of_another_process_are_not_its_own() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
        running("-c", "input()") as other,
    ):
        assert connections_to(other.pid, server.getsockname()[1]) == 0


def test_a_connection_that_the_other_side_closed_is_none() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        server.accept()[0].close()

        assert client.recv(1) == b""
        assert connections_to(os.getpid(), server.getsockname()[1]) == 0
