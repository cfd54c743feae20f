"""Send side of a stream: our bytes, held back until the receiver has room for them."""

import asyncio
from collections.abc import Callable
from functools import partial

from towonel.tunnel.core.bounds.send_budget import SendBudget
from towonel.tunnel.core.close_reason import stream_error
from towonel.tunnel.pipe import CHUNK_BYTES
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.transport import Transport
from towonel.wire.credit import MAX_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES, SendCredit
from towonel.wire.errors import Code


class SendSide:
    """Send side of a stream.

    aioquic buffers whatever it is given, so nothing is given without credit, nor without room in
    our own budget: the receiver decides on what it has not read, and we on what lies here.
    """

    def __init__(
        self, stream_id: int, connection: Transport, session_credit: SessionCredit
    ) -> None:
        self._stream_id = stream_id
        self._connection = connection
        self._session_credit = session_credit
        self._credit = SendCredit(STREAM_WINDOW_BYTES, MAX_STREAM_WINDOW_BYTES)
        self._failure: Code | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waited_in: SendBudget | None = None  # whose room woke us
        self._is_reset = False
        self.sent_bytes = 0
        self.is_eof = False

    @property
    def is_over(self) -> bool:
        return self.is_eof or self._is_reset

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                self._check()
                count = min(len(rest), CHUNK_BYTES, self._available)
                if count:
                    self._send(bytes(rest[:count]))
                    rest = rest[count:]
                else:
                    await self._wait_for_credit()
        finally:
            self._wake_next()

    def write_eof(self) -> None:
        if self.is_eof:
            return
        self._check()
        self.is_eof = True
        self._connection.send(self._stream_id, b"", is_end=True)

    def grant(self, limit: int) -> None:
        """Raise the limit: the receiver has read.

        Raises:
            ProtocolError: FLOW_CONTROL, more than a receiver may grant.
        """
        self._credit.grant(limit)
        self._wake()

    def reset(self, code: Code) -> None:
        """End this direction; what the receiver has not got is dropped."""
        if self._is_reset:
            return
        self._is_reset = True
        self._connection.reset(self._stream_id, code)
        self._session_credit.report_abandoned(self._stream_id, self.sent_bytes)
        self.fail(code)

    def fail(self, code: Code) -> None:
        """Write no more: a waiting write and later ones raise `code`."""
        if self._failure is None:
            self._failure = code
        self._wake()

    @property
    def _available(self) -> int:
        budget = self._connection.budget_of(self._stream_id)
        return min(self._credit.available, self._session_credit.available, budget.available)

    def _check(self) -> None:
        if self._failure is not None:
            raise stream_error(self._failure)

    def _send(self, data: bytes) -> None:
        self._credit.spend(len(data))
        self._session_credit.spend(len(data))
        self.sent_bytes += len(data)
        self._connection.send(self._stream_id, data)

    async def _wait_for_credit(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        cancel = self._wait_for_what_lacks()
        try:
            await self._waiter
        finally:
            cancel()
            self._waiter = None

    def _wait_for_what_lacks(self) -> Callable[[], None]:
        """Wait for one thing that holds us back; returns what ends that.

        Whoever waited for all of them would be woken by each, a thousand writers by each packet.
        """
        self._wake_next()
        if not self._credit.available:  # `grant` wakes
            return lambda: None
        if not self._session_credit.available:
            self._session_credit.wake_on_grant(self._stream_id, self._wake)
            return partial(self._session_credit.cancel_wake, self._stream_id)
        self._waited_in = self._connection.budget_of(self._stream_id).wait(self, self._wake)
        return partial(self._waited_in.cancel, self)

    def _wake_next(self) -> None:
        """Leave to others what is not taken: credit of the session, and the room that woke us."""
        self._session_credit.wake_next()
        if self._waited_in is not None:
            self._waited_in.wake_next()
            self._waited_in = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
