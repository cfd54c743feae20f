"""Graceful close: a client gets the last record, and cannot keep the socket for ever."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from towonel.edge.streams.graceful_close import close_gracefully

type Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The client's and the edge's end of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        edge, _ = server.accept()
    edge.setblocking(False)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, edge:
        yield client, edge


async def test_a_graceful_close_ends_although_the_client_neither_reads_nor_closes(
    pair: Pair,
) -> None:
    client, edge = pair
    loop = asyncio.get_running_loop()
    start = loop.time()

    async with asyncio.timeout(20):
        await close_gracefully(edge, b"bye", linger_s=0.2)

    assert client.recv(99) == b"bye"
    assert client.recv(99) == b""
    assert loop.time() - start > 0.15


async def test_a_graceful_close_drops_only_so_much_of_a_flood(pair: Pair) -> None:
    client, edge = pair
    client.setblocking(False)
    flood = bytes(8 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(loop.sock_sendall(client, flood))
        await close_gracefully(edge, b"bye", linger_s=3600)
        sending.cancel()

    assert client.recv(99) == b"bye"
