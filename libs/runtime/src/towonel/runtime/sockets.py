"""Sockets: a listening one, the accept loop, its end, and waiting on a socket without reading from it."""

import asyncio
import contextlib
import errno
import fcntl
import resource
import socket
import termios
from collections.abc import Callable

from towonel.runtime.environment.ports import listen_error

BACKLOG = 1024
UNREAD_MS = 30_000  # for how long a client may leave unread all that was sent to it
BATCH = 64  # connections accepted in one turn of the loop; the others get theirs in between
# Out of descriptors or memory, most often: accepting again at once would fail again, and spin.
PAUSE_S = 0.1  # clients wait in the backlog meanwhile; connections that end free descriptors
SPARE_DESCRIPTORS = 256  # for the database, logs, and requests to others


def bind(host: str, port: int, unread_ms: int = UNREAD_MS, *, variable: str = "") -> socket.socket:
    """Return a listening TCP socket, whose clients may leave an answer unread for `unread_ms`.

    Raises:
        SettingsError: if the address is in use or not of this machine; it names the variable.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP is named, since asyncio turns Nagle off only then: an answer in two pieces took 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # on Linux; connections have it from their listener
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise listen_error(variable, host, port, error) from error
    listener.setblocking(False)
    return listener


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


def has_unread(transport: asyncio.Transport) -> bool:
    """Return whether bytes have come that no turn of the loop has read yet."""
    descriptor = transport.get_extra_info("socket").fileno()
    return any(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))


def close_at_once(transport: asyncio.Transport) -> None:
    """Close a connection whose peer knows it now, and not after what else waits for the loop."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
    transport.close()


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
