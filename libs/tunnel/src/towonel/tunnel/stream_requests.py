"""Requests of an edge for streams, at the agent: each is read, and served by a task of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Self

from towonel.tunnel.pipe import Pipe
from towonel.tunnel.session import ACCEPTED
from towonel.tunnel.stream import Stream
from towonel.wire import preamble as preambles
from towonel.wire.errors import Code, ProtocolError, TowonelError, Unavailable
from towonel.wire.preamble import MAX_PREAMBLE_BYTES, Preamble

MAX_AWAITING: Final = 256  # streams of a link whose preamble is still to come


class StreamRequest:
    """Request to carry one client: to be accepted once its origin is connected, or rejected."""

    def __init__(self, preamble: Preamble, stream: Stream) -> None:
        self.preamble = preamble
        self._stream = stream

    async def accept(self) -> Pipe:
        """Tell the edge that the origin is connected, and return the pipe to the client.

        Raises:
            TowonelError: the edge or the client is gone.
        """
        await self._stream.write(ACCEPTED)
        return self._stream

    def reject(self, code: Code) -> None:
        """Send the client elsewhere; the edge still has its first bytes."""
        self._stream.abort(code)


type Handle = Callable[[StreamRequest], Awaitable[None]]


class StreamTasks:
    """Tasks of a link's streams; those left at its end are cancelled.

    An honest edge sends the preamble with a stream's first bytes, so that few ever wait for one.

    Args:
        tasks: owns them.
        handle: serves a request.
        preamble_s: from a stream's first byte to the end of its preamble.
    """

    def __init__(self, tasks: asyncio.TaskGroup, handle: Handle, preamble_s: float) -> None:
        self._tasks = tasks
        self._handle = handle
        self._preamble_s = preamble_s
        self._running: set[asyncio.Task[None]] = set()
        self._awaiting = 0  # streams whose preamble is still to come

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()

    def start(self, stream: Stream) -> None:
        """Serve a stream in a task."""
        task = self._tasks.create_task(self._run(stream))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, stream: Stream) -> None:
        try:
            await self._serve(stream)
        except Exception as error:  # noqa: BLE001 nor does one met at its end fail the link
            _report_failure(error)

    async def _serve(self, stream: Stream) -> None:
        """Read the preamble, and let it be handled; the stream is over when this returns."""
        try:
            await self._handle(await self._read(stream))
        except TowonelError as error:
            stream.abort(error.code)
        except Exception as error:  # noqa: BLE001 a bug met by one client ends that client
            _report_failure(error)
            stream.abort(Code.INTERNAL)
        finally:
            await stream.close()

    async def _read(self, stream: Stream) -> StreamRequest:
        if self._awaiting == MAX_AWAITING:
            raise Unavailable(Code.OVERLOADED, f"{MAX_AWAITING} streams without a preamble")
        self._awaiting += 1
        try:
            return await _read_request(stream, self._preamble_s)
        finally:
            self._awaiting -= 1


def _report_failure(error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a stream failed", "exception": error}
    )


async def _read_request(stream: Stream, preamble_s: float) -> StreamRequest:
    """Read the preamble, and leave what follows it to be read.

    Raises:
        ProtocolError: BAD_PREAMBLE, PREAMBLE_TIMEOUT.
        Unavailable: the edge gave up first.
    """
    data = b""
    try:
        async with asyncio.timeout(preamble_s):
            while (decoded := preambles.read(data)) is None:
                more = await stream.read(MAX_PREAMBLE_BYTES)
                if not more:
                    raise ProtocolError(Code.BAD_PREAMBLE, f"ends after {len(data)} bytes")
                data += more
    except TimeoutError:
        raise ProtocolError(Code.PREAMBLE_TIMEOUT, f"{len(data)} bytes came") from None
    preamble, length = decoded
    if len(data) > length:
        stream.receive_side.unread(data[length:])
    return StreamRequest(preamble, stream)
