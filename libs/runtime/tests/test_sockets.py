"""Sockets: as many connections as descriptors allow, and an accept loop that waits for them."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import override

import pytest

from towonel.runtime.sockets import abort_server, accept_forever, limit_by_descriptors


@contextlib.contextmanager
def limit_of_files(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("files", "places"), [(200, 100), (1_024, 768), (4_096, 2_000)])
def test_there_are_as_many_places_as_the_limit_of_files_leaves(files: int, places: int) -> None:
    with limit_of_files(files):
        assert limit_by_descriptors(2_000) == places


class Listener(socket.socket):
    """A listening socket whose accept fails, as without descriptors, so many times."""

    failures = 2

    @override
    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(24, "Too many open files")
        return super().accept()


async def test_an_accept_that_fails_is_told_and_tried_again_after_a_pause() -> None:
    errors, accepted = list[str](), asyncio.Queue[socket.socket]()
    with Listener() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        client.connect(listener.getsockname())
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            loop = tasks.create_task(accept_forever(listener, accepted.put_nowait, errors.append))
            with await accepted.get() as sock:
                is_blocking = sock.getblocking()
            loop.cancel()

    assert errors == ["EMFILE", "EMFILE"]
    assert not is_blocking


@pytest.mark.parametrize("turns", range(5))
async def test_a_server_that_stops_cuts_off_a_client_in_any_turn_of_its_accept(turns: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await abort_server(server)

        client.settimeout(5)  # by now the end has arrived
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
