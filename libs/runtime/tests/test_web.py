"""What a listening socket gives to the connections that it takes."""

import asyncio
import socket

from towonel.runtime.web import bind


async def test_no_answer_waits_for_the_client_to_have_read_what_came_before() -> None:
    taken: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set_result(writer)

    async with await asyncio.start_server(take, sock=bind("127.0.0.1", 0)) as server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        async with asyncio.timeout(5):
            ours = await taken
        delayed = not ours.get_extra_info("socket").getsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY
        )
        ours.close()
        client.close()

    assert not delayed
