"""TLS listener and slow, broken or hostile clients: each gets its alert, others are served."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import override

import pytest
from support.clients import client_hello
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import SocketPipe
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., AbstractAsyncContextManager[Front]]
type Counted = Callable[..., float]

DEADLINE_S = 2.0
NAME = "app.example.eu"
UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])
DECODE_ERROR = bytes([21, 3, 3, 0, 2, 2, 50])
INTERNAL_ERROR = bytes([21, 3, 3, 0, 2, 2, 80])


class DirectUpstream(Upstream):
    """Upstream without a tunnel: a TCP connection to the origin."""

    def __init__(self, port: int) -> None:
        self.port = port

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        pipe = SocketPipe(socket.create_connection(("127.0.0.1", self.port)))
        await pipe.write(client.first)
        return pipe


@pytest.fixture
async def port(front: StartFront, origin: int) -> AsyncIterator[int]:
    """The port of a listener that gives up on a handshake after two seconds."""
    table = RouteTable()
    route = Route(ServiceKind.HTTPS, NAME, TenantId(b"t" * 32))
    table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    async with front(table, DirectUpstream(origin), handshake_s=DEADLINE_S) as edge:
        yield edge.port


def hello_of(name: bytes) -> bytes:
    """A small ClientHello with any bytes as its server name."""
    entry = b"\0" + struct.pack(">H", len(name)) + name
    names = struct.pack(">H", len(entry)) + entry
    extensions = b"\0\0" + struct.pack(">H", len(names)) + names
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0"
    body += struct.pack(">H", len(extensions)) + extensions
    handshake = b"\1" + len(body).to_bytes(3) + body
    return b"\x16\3\1" + struct.pack(">H", len(handshake)) + handshake


HELLO = client_hello(NAME)
ENDLESS = bytes([22, 3, 1, 0x40, 0, 1, 0, 0x7F, 0xFF]) + bytes(16_384)
ATTACKS = {
    "16 KiB of junk": (b"\x17" * 16_384, b"", "not_tls"),
    "a megabyte of junk": (b"\x17" * 1_000_000, b"", "not_tls"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", "not_tls"),
    "one wrong byte": (b"\0", b"", "not_tls"),
    "a record of length 0": (bytes([22, 3, 1, 0, 0]), DECODE_ERROR, "bad_hello"),
    "no ClientHello": (bytes([22, 3, 1, 0, 4, 2, 0, 0, 0]), DECODE_ERROR, "bad_hello"),
    "a hello that never ends": (ENDLESS, DECODE_ERROR, "hello_too_large"),
    "a hello without a name": (client_hello("192.0.2.1"), UNRECOGNIZED_NAME, "no_sni"),
    "a name of 300 bytes": (hello_of(b"a" * 300), UNRECOGNIZED_NAME, "bad_sni"),
    "a pattern": (hello_of(b"*.example.eu"), UNRECOGNIZED_NAME, "bad_sni"),
    "a service for a name": (hello_of(b"tcp:app.example.eu"), UNRECOGNIZED_NAME, "bad_sni"),
    "somebody else's name": (hello_of(b"nobody.example.eu"), UNRECOGNIZED_NAME, "no_route"),
}


async def answer(port: int, sent: bytes, *, then_close: bool = False) -> bytes:
    """Send, and return all that comes back; a reset would raise."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    if then_close:
        writer.write_eof()
    try:
        async with asyncio.timeout(20):
            return await reader.read(-1)
    finally:
        writer.close()


async def is_served(port: int, tls: ssl.SSLContext) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=NAME)
    writer.write(b"hello")
    async with asyncio.timeout(20):
        came = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return came == b"hello"


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_gets_its_alert_and_is_counted_and_others_are_served(
    port: int, client_tls: ssl.SSLContext, counted: Counted, attack: str
) -> None:
    sent, expected, code = ATTACKS[attack]

    assert await answer(port, sent) == expected
    await until(lambda: counted("connections_refused_total", code=code) == 1)
    assert await is_served(port, client_tls)


async def test_a_hello_cut_anywhere_is_closed_at_the_deadline_with_an_alert(
    port: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    cuts = range(0, len(HELLO), 9)

    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(answer(port, HELLO[:cut])) for cut in cuts]
        assert await is_served(port, client_tls)

    assert {task.result() for task in answers} == {INTERNAL_ERROR}
    await until(lambda: counted("connections_refused_total", code="client_timeout") == len(cuts))


async def test_a_hello_cut_anywhere_by_a_client_that_leaves_is_over_at_once(
    port: int, counted: Counted
) -> None:
    cuts = range(0, len(HELLO), 9)
    for cut in cuts:
        assert await answer(port, HELLO[:cut], then_close=True) == b""

    await until(lambda: counted("connections_refused_total", code="client_closed") == len(cuts))
    assert counted("connections_refused_total", code="client_timeout") == 0


async def test_a_client_that_leaves_after_fewer_bytes_than_are_waited_for_is_over_at_once(
    port: int, counted: Counted
) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(HELLO[:40])
        await until(lambda: counted("active_connections") == 1)
        sock.sendall(HELLO[40:42])

    await until(lambda: counted("connections_refused_total", code="client_closed") == 1)
    assert counted("connections_refused_total", code="client_timeout") == 0


async def test_a_client_that_resets_is_over_at_once(port: int, counted: Counted) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(HELLO[:40])
        await until(lambda: counted("active_connections") == 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    await until(lambda: counted("connections_refused_total", code="client_closed") == 1)
    assert counted("connections_refused_total", code="client_timeout") == 0


async def test_bytes_that_trickle_do_not_put_off_the_deadline(
    port: int, client_tls: ssl.SSLContext, counted: Counted
) -> None:
    loop = asyncio.get_running_loop()
    start, sent = loop.time(), 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(reader.read(-1))
        while not ending.done() and sent < len(HELLO):
            writer.write(HELLO[sent : sent + 1])
            sent += 1
            await asyncio.wait([ending], timeout=0.02)
        assert await is_served(port, client_tls)

    assert ending.result() == INTERNAL_ERROR
    assert sent < len(HELLO)
    assert loop.time() - start >= DEADLINE_S
    await until(lambda: counted("connections_refused_total", code="client_timeout") == 1)
    writer.close()


def split_records(handshake: bytes, size: int) -> bytes:
    pieces = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(b"\x16\3\1" + struct.pack(">H", len(piece)) + piece for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_a_hello_in_many_records_and_segments_is_served(port: int, size: int) -> None:
    sent = split_records(HELLO[5:], size)
    assert len(sent) < 16 * 1024
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    step = len(sent) // 10
    for at in range(0, len(sent), step):
        writer.write(sent[at : at + step])
        await asyncio.sleep(0.01)

    record = await reader.readexactly(5)
    writer.close()

    assert record[0] == 22  # the origin's ServerHello
