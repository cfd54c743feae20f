"""Accept loops: each connection gets a task of its own and is counted until it ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial

from towonel.edge.metrics import Metrics
from towonel.runtime.in_flight import InFlight
from towonel.runtime.log_limit import LogLimit
from towonel.runtime.sockets import PAUSE_S, accept_forever, accept_waiting

BACKLOG = 1024  # connections the kernel keeps while the loop is busy; somaxconn caps it

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
        self._loops = [
            tasks.create_task(accept_forever(sock, self._start, self._on_error))
            for sock in self._sockets
        ]

    async def stop_accepting(self) -> None:
        """Take what waits in the kernel's queue, which closing would reset; then close."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.wait(self._loops)
        for sock in self._sockets:
            accept_waiting(sock, self._start)
            sock.close()
        self._sockets.clear()

    def cancel_all(self) -> None:
        """Cancel every connection that is left."""
        for task in self._connections:
            task.cancel()

    def _on_error(self, word: str) -> None:
        self._metrics.accept_errors.inc()
        self._log_limit.warning("edge.accept_failed", key=word, error=word, pause_s=PAUSE_S)

    def _start(self, sock: socket.socket) -> None:
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
