"""First flight: what is taken off the socket, how often it is peeked at, and the graceful close."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from towonel.edge.listeners.first_flight import (
    FREE_PEEKS,
    PEEK_PAUSE_S,
    FirstFlight,
    close_gracefully,
)
from towonel.wire import proxy
from towonel.wire.errors import Code, TowonelError
from towonel.wire.proxy import Address, ProxyHeader

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


def hello_in_records_of_one_byte() -> list[bytes]:
    """2000 bytes of a hello that has nothing in it."""
    handshake = b"\1" + (1_996).to_bytes(3) + bytes(1_996)
    return [b"\x16\3\1\0\1" + handshake[at : at + 1] for at in range(len(handshake))]


async def test_a_client_can_cause_only_so_many_peeks_a_second(pair: Pair) -> None:
    """Each record of one byte is worth a peek; 2000 of them must not be 2000 peeks."""
    client, edge = pair
    flight = FirstFlight(edge)
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(failure(flight))
        for record in hello_in_records_of_one_byte():
            client.send(record)
            await asyncio.sleep(0)

    assert reading.result() is Code.BAD_HELLO
    assert flight._peeks <= FREE_PEEKS + 1 + (loop.time() - start) / PEEK_PAUSE_S


async def failure(flight: FirstFlight) -> Code:
    with pytest.raises(TowonelError) as caught:
        await flight.read_client_hello()
    return caught.value.code


async def test_nothing_is_taken_off_the_socket_by_peeking(pair: Pair) -> None:
    client, edge = pair
    client.sendall(b"\x16\3\1\0\0")

    assert await failure(FirstFlight(edge)) is Code.BAD_HELLO
    assert edge.recv(99) == b"\x16\3\1\0\0"


async def test_what_is_taken_is_exactly_what_was_asked_for(pair: Pair) -> None:
    client, edge = pair
    client.sendall(b"abcdef")
    await asyncio.sleep(0.01)

    FirstFlight(edge).take(4)

    assert edge.recv(99) == b"ef"


async def test_bytes_that_are_gone_cannot_be_taken(pair: Pair) -> None:
    client, edge = pair
    client.sendall(b"ab")
    client.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.01)

    with pytest.raises(TowonelError) as caught:
        FirstFlight(edge).take(4)

    assert caught.value.code is Code.CLIENT_CLOSED


async def test_a_proxy_header_cut_anywhere_is_read_and_the_rest_left(pair: Pair) -> None:
    client, edge = pair
    source = Address(ip_address("203.0.113.7"), 54321)
    header = proxy.encode(ProxyHeader(source, source, ((0x04, b"noop"),)))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(FirstFlight(edge).read_proxy_header())
        for byte in header + b"rest":
            client.send(bytes([byte]))
            await asyncio.sleep(0)

    header_read = reading.result()
    assert header_read is not None
    assert header_read.source == source
    assert edge.recv(99) == b"rest"


async def test_a_closed_socket_is_a_client_that_left(pair: Pair) -> None:
    _, edge = pair
    edge.close()

    assert await failure(FirstFlight(edge)) is Code.CLIENT_CLOSED


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
