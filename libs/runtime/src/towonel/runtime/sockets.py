"""Sockets: the accept loop, its end, and waiting on a socket without reading from it."""

import asyncio
import errno
import resource
import socket
from collections.abc import Callable

BATCH = 64  # connections accepted in one turn of the loop; the others get theirs in between
# Out of descriptors or memory, most often: accepting again at once would fail again, and spin.
PAUSE_S = 0.1  # clients wait in the backlog meanwhile; connections that end free descriptors
SPARE_DESCRIPTORS = 256  # for the database, logs, and requests to others


async def accept_forever(
    sock: socket.socket,
    on_accepted: Callable[[socket.socket], None],
    on_error: Callable[[str], None],
) -> None:
    """Accept connections until cancelled.

    Args:
        sock: listens, and is non-blocking.
        on_accepted: owns the new socket, which is non-blocking.
        on_error: is told the name of an error, such as EMFILE; then there is a pause.
    """
    while True:
        try:
            for _ in range(BATCH):
                on_accepted(_accept(sock))
            await asyncio.sleep(0)
        except BlockingIOError:
            await wait_readable(sock)
        except ConnectionAbortedError:
            continue  # the client left before its turn
        except OSError as error:
            on_error(errno.errorcode.get(error.errno or 0, "unknown"))
            await asyncio.sleep(PAUSE_S)


def accept_waiting(sock: socket.socket, on_accepted: Callable[[socket.socket], None]) -> None:
    """Accept what waits in the kernel's queue, which closing the listener would reset."""
    try:
        while True:
            on_accepted(_accept(sock))
    except OSError:
        return


async def abort_server(server: asyncio.Server) -> None:
    """Stop a server of asyncio and cut off its clients, those accepted a moment ago among them.

    A connection is accepted in one turn of the loop and becomes a client in the next; a server
    that is closed in between forgets it, open.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def wait_readable(sock: socket.socket) -> None:
    """Wait until SO_RCVLOWAT bytes can be read, or the peer has sent its end or a reset."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_reader(descriptor, _wake, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


def limit_by_descriptors(most: int) -> int:
    """Return how many connections there may be: `most`, or what the limit of open files leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return most
    return min(most, max(limit // 2, limit - SPARE_DESCRIPTORS))


def _accept(sock: socket.socket) -> socket.socket:
    accepted, _ = sock.accept()
    accepted.setblocking(False)
    return accepted


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
