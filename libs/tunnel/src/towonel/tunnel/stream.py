"""Stream of a session as a pipe."""

from collections.abc import Callable
from typing import override

from towonel.tunnel.pipe import CHUNK_BYTES, Pipe
from towonel.tunnel.receive_side import ReceiveSide
from towonel.tunnel.send_side import SendSide
from towonel.tunnel.session_credit import SessionCredit
from towonel.tunnel.transport import Transport
from towonel.wire.errors import Code


class Stream(Pipe):
    """Stream: a receive side and a send side that end on their own.

    Args:
        stream_id: of QUIC.
        connection: that carries it.
        session_credit: that all streams share.
        on_change: called after the application did what may have ended the stream.
    """

    def __init__(
        self,
        stream_id: int,
        connection: Transport,
        session_credit: SessionCredit,
        on_change: Callable[["Stream"], None],
    ) -> None:
        self.stream_id = stream_id
        self.receive_side = ReceiveSide(stream_id, session_credit)
        self.send_side = SendSide(stream_id, connection, session_credit)
        self._connection = connection
        self._on_change = on_change

    @property
    def is_over(self) -> bool:
        """Whether neither side can send on it, and all that came is accounted for."""
        return self.receive_side.is_settled and self.send_side.is_over

    @override
    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        data = await self.receive_side.read(max_bytes)
        self._on_change(self)
        return data

    @override
    async def write(self, data: bytes) -> None:
        await self.send_side.write(data)

    @override
    async def write_eof(self) -> None:
        self.send_side.write_eof()
        self._on_change(self)

    @override
    def abort(self, code: Code) -> None:
        self.send_side.reset(code)
        self._stop(code)

    @override
    async def close(self) -> None:
        if not self.send_side.is_over:
            self.send_side.reset(Code.CANCELLED)
        self._stop(Code.CANCELLED)

    def fail(self, code: Code) -> None:
        """End both sides: the connection is gone."""
        self.send_side.fail(code)
        self.receive_side.fail_unless_complete(code)

    def _stop(self, code: Code) -> None:
        was_open = self.receive_side.is_open
        self.receive_side.fail(code)
        if was_open:
            self._connection.stop(self.stream_id, code)
        self._on_change(self)
