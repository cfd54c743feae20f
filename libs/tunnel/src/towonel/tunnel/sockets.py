"""TCP socket as a pipe, on the event loop's readiness calls and nothing above them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import override

from towonel.tunnel.pipe import CHUNK_BYTES, Pipe
from towonel.wire.errors import Code, Unavailable

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER {on, 0 s}: close() sends RST
END_ON_CLOSE = struct.pack("ii", 0, 0)
type BoundBuffer = Callable[[socket.socket], bool]
CHECKED_BYTES = 1024 * 1024  # after which a buffer may have grown; growing takes as many as it has
READS_BEFORE_YIELD = 4  # a socket that always has data must not keep the loop to itself


class SocketPipe(Pipe):
    """Pipe over a connected TCP socket, which it owns from now on.

    Only an orderly close looks like one: whatever else closes the socket, as the end of the process does,
    is a reset, lest the far side take a part for the whole.

    Args:
        sock: connected; made non-blocking here.
        broken: the code to raise when the far side resets or vanishes: CLIENT_CLOSED at the edge,
            ORIGIN_RESET at the agent.
        bound_buffer: bounds the receive buffer of a socket, once it has grown, and returns whether it had.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        broken: Code = Code.CLIENT_CLOSED,
        bound_buffer: BoundBuffer | None = None,
    ) -> None:
        sock.setblocking(False)
        set_linger(sock, RESET_ON_CLOSE)
        self._sock = sock
        self._broken = broken
        self._bound_buffer = bound_buffer
        self._unchecked = 0  # bytes
        self._loop = asyncio.get_running_loop()
        self._failure: Code | None = None
        self._write_error: OSError | None = None
        self._is_eof_sent = False
        self._reads = 0
        self._waiters: dict[Callable[[int], object], asyncio.Future[None]] = {}

    @override
    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        self._reads += 1
        if self._reads % READS_BEFORE_YIELD == 0:
            await asyncio.sleep(0)
        while True:
            self._check()
            try:
                data = self._sock.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                await self._wait_ready(self._loop.add_reader, self._loop.remove_reader)
            except OSError as error:
                raise Unavailable(self._broken, str(error)) from error
            else:
                if not data and self._write_error is not None:
                    raise Unavailable(self._broken, str(self._write_error)) from self._write_error
                if self._bound_buffer is not None:
                    self._check_buffer(self._bound_buffer, len(data))
                return data

    @override
    async def write(self, data: bytes) -> None:
        self._check()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await self._wait_ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                self._note_write_error(error)
                raise Unavailable(self._broken, str(error)) from error
            self._check()

    @override
    async def write_eof(self) -> None:
        self._check()
        if self._is_eof_sent:
            return
        self._is_eof_sent = True
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Unavailable(self._broken, str(error)) from error

    @override
    def abort(self, code: Code) -> None:
        self._end(code)

    @override
    async def close(self) -> None:
        if self._failure is None:
            set_linger(self._sock, END_ON_CLOSE)
        self._end(Code.NORMAL)

    def _check_buffer(self, bound_buffer: BoundBuffer, received: int) -> None:
        self._unchecked += received
        if self._unchecked >= CHECKED_BYTES:
            self._unchecked = 0
            if bound_buffer(self._sock):
                self._bound_buffer = None

    def _note_write_error(self, error: OSError) -> None:
        """Remember a reset: it is told once, and a socket that told it to a writer reads as ended.

        A reset that came behind the far side's own end is EPIPE, and takes nothing from that end.
        """
        if not isinstance(error, BrokenPipeError):
            self._write_error = error

    def _check(self) -> None:
        if self._failure is not None:
            raise Unavailable(self._failure, "this side ended the connection")

    async def _wait_ready(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        """Wait for readiness; `_end` also wakes us, after it has unregistered the socket."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[remove] = waiter
        add(self._sock.fileno(), _wake, waiter)
        try:
            await waiter
        finally:
            if self._waiters.pop(remove, None) is not None:
                remove(self._sock.fileno())

    def _end(self, code: Code) -> None:
        if self._failure is not None:
            return
        self._failure = code
        waiters, self._waiters = self._waiters, {}
        for remove, waiter in waiters.items():
            # First out of the selector, then closed: a closed descriptor would never become ready.
            remove(self._sock.fileno())
            _wake(waiter)
        self._sock.close()


def set_linger(sock: socket.socket, how: bytes) -> None:
    """Set what closing a socket means to its peer; one that has reset it hears nothing any more."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
