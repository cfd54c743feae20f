"""Memory that the kernel holds for origins of streams: buffers that have grown are bounded."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from support.buffers import (
    count_unread,
    count_unsent,
    fill,
    grow_receive_buffer,
    receive_buffer_of,
)
from support.tunnel import PREAMBLE

from towonel.agent.core.services import Origin, ProxyProtocol
from towonel.agent.origin_dialer import OriginDialer
from towonel.agent.origin_pipe import OriginPipe
from towonel.relay.sockets import NOTSENT_BYTES, RECEIVE_BYTES
from towonel.runtime.dns.resolver import Resolver
from towonel.tunnel.sockets import CHECKED_BYTES

CHUNK = bytes(64 * 1024)


@pytest.fixture
async def dialled() -> AsyncIterator[tuple[OriginPipe, socket.socket]]:
    """A connection to an origin, and the origin's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        origin = Origin("127.0.0.1", server.getsockname()[1], ProxyProtocol.NONE)
        pipe = await OriginDialer(Resolver(), 5.0).dial(origin, PREAMBLE)
        with server.accept()[0] as far:
            far.setblocking(False)
            yield pipe, far
            await pipe.close()


async def send(sock: socket.socket, count: int) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, bytes(count))


async def test_an_origin_that_sends_more_than_is_read_makes_the_kernel_hold_no_more_than_the_bound(
    dialled: tuple[OriginPipe, socket.socket],
) -> None:
    pipe, far = dialled
    grow_receive_buffer(pipe._sock)
    count = 2 * CHECKED_BYTES
    sending = asyncio.get_running_loop().create_task(send(far, count))
    while count > 0:
        count -= len(await pipe.read())
    await sending

    assert receive_buffer_of(pipe._sock) == RECEIVE_BYTES
    await fill(far)
    assert CHECKED_BYTES < count_unread(pipe._sock) <= RECEIVE_BYTES


async def test_what_an_origin_does_not_take_waits_with_its_client(
    dialled: tuple[OriginPipe, socket.socket],
) -> None:
    pipe, _ = dialled
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.3):
                await pipe.write(CHUNK)

    assert count_unsent(pipe._sock) <= NOTSENT_BYTES + len(CHUNK)
