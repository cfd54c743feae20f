"""Receive side of a stream: the peer's bytes, from their arrival to the application's read."""

import asyncio
from enum import Enum, auto

from towonel.tunnel.core.byte_queue import ByteQueue
from towonel.tunnel.core.close_reason import stream_error
from towonel.tunnel.session_credit import SessionCredit
from towonel.wire.credit import MAX_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES, ReceiveCredit
from towonel.wire.errors import Code, ProtocolError


class _End(Enum):
    """End of the peer's bytes; a reset is complete with the count in `Abandoned`."""

    NONE = auto()
    FIN = auto()
    RESET = auto()


class ReceiveSide:
    """Receive side of a stream.

    Bytes count against the stream's and the session's credit when they arrive and are given back
    when they are read, dropped, or known never to come: the peer says in `Abandoned` how many it
    had counted on a stream that it reset.
    """

    def __init__(self, stream_id: int, session_credit: SessionCredit) -> None:
        self._stream_id = stream_id
        self._session_credit = session_credit
        self._credit = ReceiveCredit(STREAM_WINDOW_BYTES, MAX_STREAM_WINDOW_BYTES)
        self._queue = ByteQueue()
        self._head = b""  # put back by the reader; counted as read
        self._received_bytes = 0
        self._abandoned_bytes: int | None = None
        self._end = _End.NONE
        self._failure: Code | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can come or be given back."""
        if self._end is _End.FIN:
            return not self._queue.size
        return self._end is _End.RESET and self._abandoned_bytes is not None

    @property
    def is_open(self) -> bool:
        """Whether the peer may still send, and was not asked to stop."""
        return self._end is _End.NONE and self._failure is None

    def receive(self, data: bytes, *, is_end: bool) -> None:
        """Queue bytes that arrived.

        Raises:
            ProtocolError: FLOW_CONTROL.
        """
        self._session_credit.receive(self._credit, len(data))
        self._received_bytes += len(data)
        if is_end:
            self._end = _End.FIN
        if self._failure is None:
            self._queue.push(data)
            self._wake()
        else:
            self._session_credit.consume(self._stream_id, None, len(data))

    def receive_reset(self, code: Code) -> None:
        """End early: what was not read is dropped."""
        if self._end is _End.NONE:
            self._end = _End.RESET
            self.fail(code)
            self._settle()

    def receive_abandoned(self, sent_bytes: int) -> None:
        """Note how many bytes the peer had counted before its reset.

        Raises:
            ProtocolError: FLOW_CONTROL, more than it was granted; UNEXPECTED_MESSAGE, another
                count than before.
        """
        if sent_bytes > self._credit.limit:
            raise ProtocolError(Code.FLOW_CONTROL, f"claims to have sent {sent_bytes} bytes")
        if self._abandoned_bytes not in {None, sent_bytes}:
            raise ProtocolError(Code.UNEXPECTED_MESSAGE, "abandoned twice")
        self._abandoned_bytes = sent_bytes
        self._settle()

    def fail(self, code: Code) -> None:
        """Read no more: a waiting read and later ones raise `code`; what comes is dropped."""
        if self._failure is None:
            self._failure = code
            self._head = b""
            self._drop()
        self._wake()

    def fail_unless_complete(self, code: Code) -> None:
        """Fail, but let an answer that is complete be read."""
        if self._end is not _End.FIN:
            self.fail(code)

    def unread(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._head = data + self._head

    async def read(self, max_bytes: int) -> bytes:
        while True:
            if self._failure is not None:
                raise stream_error(self._failure)
            if self._head:
                data, self._head = self._head[:max_bytes], self._head[max_bytes:]
                return data
            if self._queue.size:
                data = self._queue.take(max_bytes)
                self._consume(len(data))
                return data
            if self._end is not _End.NONE:
                return b""
            await self._wait_for_bytes()

    async def _wait_for_bytes(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _consume(self, count: int) -> None:
        self._session_credit.consume(self._stream_id, self._credit if self.is_open else None, count)

    def _drop(self) -> None:
        if dropped := self._queue.clear():
            self._consume(dropped)

    def _settle(self) -> None:
        """Give back what the peer counted and we never saw."""
        if self._end is not _End.RESET or self._abandoned_bytes is None:
            return
        missing = self._abandoned_bytes - self._received_bytes
        if missing > 0:
            self._session_credit.receive(self._credit, missing)
            self._received_bytes += missing
            self._session_credit.consume(self._stream_id, None, missing)
