"""Accept loops: each connection gets a task of its own and is counted until it ends."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial

from towonel.edge.listeners.sockets import wait_readable
from towonel.edge.metrics import Metrics
from towonel.runtime.in_flight import InFlight
from towonel.runtime.log_limit import LogLimit

BACKLOG = 1024  # connections the kernel keeps while the loop is busy; somaxconn caps it
BATCH = 64  # connections accepted in one turn of the loop; the others get theirs in between
# Out of descriptors or memory, most often: accepting again at once would fail again, and spin.
PAUSE_S = 0.1  # clients wait in the backlog meanwhile; connections that end free descriptors

type Handle = Callable[[socket.socket], Coroutine[None, None, None]]


class Acceptor:
    """Accept loops of some sockets, and the connections they accepted.

    Args:
        sockets: bound and non-blocking; they listen from now on, and are owned by this.
        handle: serves one non-blocking socket, which is closed when it returns; must not raise.
        tasks: where everything runs.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handle: Handle,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.port: int = sockets[0].getsockname()[1]
        self._sockets = list(sockets)
        self._handle = handle
        self._metrics = metrics
        self._tasks = tasks
        self._connections: set[asyncio.Task[None]] = set()
        self.in_flight = InFlight()  # of connections
        self._log_limit = LogLimit()
        for sock in self._sockets:
            sock.listen(BACKLOG)
        self._loops = [tasks.create_task(self._accept_forever(sock)) for sock in self._sockets]

    async def stop_accepting(self) -> None:
        """Take what waits in the kernel's queue, which closing would reset; then close."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.wait(self._loops)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                while True:
                    self._start(sock.accept()[0])
            sock.close()
        self._sockets.clear()

    def cancel_all(self) -> None:
        """Cancel every connection that is left."""
        for task in self._connections:
            task.cancel()

    async def _accept_forever(self, sock: socket.socket) -> None:
        while True:
            try:
                for _ in range(BATCH):
                    self._start(sock.accept()[0])
                await asyncio.sleep(0)
            except BlockingIOError:
                await wait_readable(sock)
            except ConnectionAbortedError:
                continue  # the client left before its turn
            except OSError as error:
                self._metrics.accept_errors.inc()
                word = errno.errorcode.get(error.errno or 0, "unknown")
                self._log_limit.warning("edge.accept_failed", key=word, error=word, pause_s=PAUSE_S)
                await asyncio.sleep(PAUSE_S)

    def _start(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        task = self._tasks.create_task(self._handle(sock))
        self._connections.add(task)
        self.in_flight.acquire()
        task.add_done_callback(partial(self._on_ended, sock))

    def _on_ended(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        sock.close()  # here, because a task that is cancelled early never gets to run
        self._connections.discard(task)
        self.in_flight.release()


@contextlib.asynccontextmanager
async def accept_clients(
    sockets: Sequence[socket.socket], handle: Handle, metrics: Metrics
) -> AsyncGenerator[Acceptor]:
    """Accept until `stop_accepting` or the end of the block, and end what is left then."""
    async with asyncio.TaskGroup() as tasks:
        acceptor = Acceptor(sockets, handle, metrics, tasks)
        try:
            yield acceptor
        finally:
            await acceptor.stop_accepting()
            acceptor.cancel_all()
