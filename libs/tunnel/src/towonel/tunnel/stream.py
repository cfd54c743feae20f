"""One stream of a session as a pipe."""

from collections.abc import Callable
from typing import override

from towonel.tunnel.connection import Connection
from towonel.tunnel.pipe import CHUNK_BYTES, Pipe
from towonel.tunnel.receive_side import ReceiveSide
from towonel.tunnel.send_side import SendSide
from towonel.tunnel.session_credit import SessionCredit
from towonel.wire.errors import Code


class Stream(Pipe):
    """Two directions that end on their own.

    Args:
        changed: called after the application did what may have ended the stream.
    """

    def __init__(
        self,
        stream_id: int,
        connection: Connection,
        budget: SessionCredit,
        changed: Callable[["Stream"], None],
    ) -> None:
        self.stream_id = stream_id
        self.inbound = ReceiveSide(stream_id, budget)
        self.outbound = SendSide(stream_id, connection, budget)
        self._connection = connection
        self._changed = changed

    @property
    def is_over(self) -> bool:
        """Whether neither side can send on it, and all that came is accounted for."""
        return self.inbound.is_settled and self.outbound.is_over

    @override
    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        data = await self.inbound.read(max_bytes)
        self._changed(self)
        return data

    @override
    async def write(self, data: bytes) -> None:
        await self.outbound.write(data)

    @override
    async def write_eof(self) -> None:
        self.outbound.write_eof()
        self._changed(self)

    @override
    def abort(self, code: Code) -> None:
        self.outbound.reset(code)
        self._stop(code)

    @override
    async def close(self) -> None:
        if not self.outbound.is_over:
            self.outbound.reset(Code.CANCELLED)
        self._stop(Code.CANCELLED)

    def lose(self, code: Code) -> None:
        """The connection is gone: wake whoever waits."""
        self.outbound.fail(code)
        self.inbound.lose(code)

    def _stop(self, code: Code) -> None:
        was_open = self.inbound.is_open
        self.inbound.fail(code)
        if was_open:
            self._connection.stop(self.stream_id, code)
        self._changed(self)
