"""Accept loops: without descriptors, without clients, and with the last ones in the queue."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.tunnel import until

from towonel.edge.listeners.accept import Acceptor, accept_clients
from towonel.edge.listeners.sockets import bind_sockets
from towonel.edge.metrics import Metrics
from towonel.runtime.sockets import PAUSE_S

type Counted = Callable[..., float]


async def greet(sock: socket.socket) -> None:
    """Send one byte and wait for one."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"!")
    await loop.sock_recv(sock, 1)


@pytest.fixture
async def acceptor(metrics: Metrics) -> AsyncIterator[Acceptor]:
    async with accept_clients(bind_sockets("127.0.0.1", 0, 1), greet, metrics) as acceptor:
        yield acceptor


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def read_hello(sock: socket.socket) -> bytes:
    async with asyncio.timeout(20):
        return await asyncio.get_running_loop().sock_recv(sock, 1)


@contextlib.contextmanager
def use_up_descriptors() -> Iterator[None]:
    """Leave this process one free descriptor, for a client, and none to accept it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    held: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(0))
    os.close(held.pop())
    try:
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_it_waits_without_spinning_and_then_goes_on(
    acceptor: Acceptor, counted: Counted
) -> None:
    with connect(acceptor.port) as early:
        assert await read_hello(early) == b"!"
        with use_up_descriptors():
            late = connect(acceptor.port)
            await until(lambda: counted("accept_errors_total") >= 2)
            errors = counted("accept_errors_total")
            with pytest.raises(BlockingIOError):
                late.recv(1)
        with late:
            assert await read_hello(late) == b"!"

    assert errors <= 3


async def test_a_lack_of_descriptors_is_a_line_a_second(
    acceptor: Acceptor, counted: Counted
) -> None:
    with use_up_descriptors(), capture_logs() as lines:
        late = connect(acceptor.port)
        await until(lambda: counted("accept_errors_total") >= 6)
    late.close()

    assert lines[0] == {
        "event": "edge.accept_failed",
        "log_level": "warning",
        "error": "EMFILE",
        "pause_s": PAUSE_S,
    }
    assert len(lines) <= 3


async def test_clients_in_the_queue_are_served_although_accepting_stops(
    acceptor: Acceptor,
) -> None:
    clients = [connect(acceptor.port) for _ in range(50)]  # the loop has not run since

    await acceptor.stop_accepting()

    assert acceptor.in_flight.count == 50
    assert [await read_hello(client) for client in clients] == [b"!"] * 50
    with pytest.raises(ConnectionRefusedError):
        connect(acceptor.port)
    for client in clients:
        client.close()
    async with asyncio.timeout(20):
        await acceptor.in_flight.wait_idle()
    assert acceptor.in_flight.count == 0


async def test_what_is_left_is_ended_on_demand(acceptor: Acceptor) -> None:
    client = connect(acceptor.port)
    assert await read_hello(client) == b"!"

    acceptor.cancel_all()
    async with asyncio.timeout(20):
        await acceptor.in_flight.wait_idle()

    assert await read_hello(client) == b""
    client.close()


async def test_a_client_that_was_ended_before_its_turn_is_closed_too(metrics: Metrics) -> None:
    async with accept_clients(bind_sockets("127.0.0.1", 0, 1), greet, metrics) as acceptor:
        client = connect(acceptor.port)

    assert await read_hello(client) in {b"", b"!"}
    client.close()


async def test_several_sockets_and_processes_share_one_port(metrics: Metrics) -> None:
    async with accept_clients(bind_sockets("127.0.0.1", 0, 3), greet, metrics) as first:
        others = bind_sockets("127.0.0.1", first.port, 2)
        async with accept_clients(others, greet, metrics) as second:
            clients = [connect(first.port) for _ in range(60)]
            assert [await read_hello(client) for client in clients] == [b"!"] * 60
            assert first.in_flight.count > 0
            assert second.in_flight.count > 0
            for client in clients:
                client.close()


async def test_a_socket_that_is_bound_takes_no_clients_before_it_listens(
    acceptor: Acceptor,
) -> None:
    waiting = bind_sockets("127.0.0.1", acceptor.port, 1)
    clients = [connect(acceptor.port) for _ in range(20)]

    assert [await read_hello(client) for client in clients] == [b"!"] * 20
    for sock in (*waiting, *clients):
        sock.close()


def test_ipv6_any_takes_ipv4_clients_too() -> None:
    (sock,) = bind_sockets("::", 0, 1)
    with sock:
        sock.listen()
        with socket.create_connection(("127.0.0.1", sock.getsockname()[1])) as client:
            assert client.getpeername()[0] == "127.0.0.1"


def test_an_address_that_another_program_has_exclusively_is_refused() -> None:
    other = socket.create_server(("127.0.0.1", 0))
    with other, pytest.raises(OSError, match=r"in use"):
        bind_sockets("127.0.0.1", other.getsockname()[1], 2)
