"""Memory that the kernel holds for clients on streams: a buffer that has grown is bounded."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import override

import pytest
from support.buffers import count_unread, fill, grow_receive_buffer, receive_buffer_of
from support.clients import client_hello
from support.edge_front import Front
from support.tunnel import until

from towonel.edge.core.route_table import RouteTable
from towonel.edge.streams.relays import Relay, Relays
from towonel.edge.streams.upstream import ClientConnection, Upstream
from towonel.relay.sockets import RECEIVE_BYTES
from towonel.tunnel.pipe import Pipe
from towonel.tunnel.sockets import CHECKED_BYTES, SocketPipe
from towonel.wire.ids import TenantId
from towonel.wire.names import ServiceKind
from towonel.wire.routes import Route, RouteDelta

type StartFront = Callable[..., contextlib.AbstractAsyncContextManager[Front]]

NAME = "app.example.eu"


class PairUpstream(Upstream):
    """Upstream whose far end is the test's."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)

    @override
    async def open(self, client: ClientConnection) -> Pipe:
        return SocketPipe(self.near)


@pytest.fixture
async def connected(front: StartFront) -> AsyncIterator[tuple[socket.socket, Relay, PairUpstream]]:
    """A client, its relay, and where its bytes go."""
    table, upstream = RouteTable(), PairUpstream()
    route = Route(ServiceKind.HTTPS, NAME, TenantId(b"a" * 32))
    table.apply(RouteDelta(1, snapshot=True, routes=(route,)))
    relays = Relays(table, clock=time.monotonic)
    async with front(table, upstream, relays=relays) as started:
        with socket.create_connection(("127.0.0.1", started.port)) as client:
            client.setblocking(False)
            client.send(client_hello(NAME))
            await until(lambda: len(relays._relays) == 1)
            yield client, next(iter(relays._relays)), upstream
        upstream.far.close()


async def pass_bytes(client: socket.socket, far: socket.socket, count: int) -> None:
    """Let a client send so many bytes, all of which reach the far end."""
    loop = asyncio.get_running_loop()
    sending = loop.create_task(loop.sock_sendall(client, bytes(count)))
    while count > 0:
        count -= len(await loop.sock_recv(far, count))
    await sending


async def test_a_client_whose_buffer_has_grown_makes_the_kernel_hold_no_more_than_the_bound(
    connected: tuple[socket.socket, Relay, PairUpstream],
) -> None:
    client, relay, upstream = connected
    grow_receive_buffer(relay.sock)
    await pass_bytes(client, upstream.far, 2 * CHECKED_BYTES)

    await until(lambda: receive_buffer_of(relay.sock) == RECEIVE_BYTES)
    await fill(client)

    assert CHECKED_BYTES < count_unread(relay.sock) <= RECEIVE_BYTES
