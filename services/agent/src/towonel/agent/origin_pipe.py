"""Connection to an origin as a pipe, which remembers how the origin began and ended it."""

import asyncio
import socket
from typing import override

from towonel.agent.core.proxy_header import ALERT_BYTES
from towonel.relay.sockets import bound_receive_buffer
from towonel.tunnel.pipe import CHUNK_BYTES
from towonel.tunnel.sockets import SocketPipe
from towonel.tunnel.tcp_output import OutputWatch, read_output_state
from towonel.wire.errors import Code, TowonelError


class OriginPipe(SocketPipe):
    """Pipe to an origin; an origin that resets it is ORIGIN_RESET.

    Args:
        sock: connected.
        idle_s: for which nothing may pass; 0 is for ever.
    """

    def __init__(self, sock: socket.socket, idle_s: float = 0) -> None:
        super().__init__(sock, broken=Code.ORIGIN_RESET, bound_buffer=bound_receive_buffer)
        self._opened_at_s = self._active_at_s = asyncio.get_running_loop().time()
        self._idle_s = idle_s
        self._carried_bytes = self._seen_bytes = 0  # both ways; of those, at the last look
        self._is_client_done = False
        self._output = OutputWatch()
        self.first_bytes = b""
        self.ended_after_s: float | None = None  # where the origin ended it, and not the client

    @override
    async def read(self, max_bytes: int = CHUNK_BYTES) -> bytes:
        try:
            data = await super().read(max_bytes)
        except TowonelError as error:
            if error.code is Code.ORIGIN_RESET:
                self._note_end()
            raise
        if not self.first_bytes:
            self.first_bytes = data[:ALERT_BYTES]
        if not data:
            self._note_end()
        self._carried_bytes += len(data)
        return data

    @override
    async def write(self, data: bytes) -> None:
        await super().write(data)
        self._carried_bytes += len(data)

    @override
    async def write_eof(self) -> None:
        self._is_client_done = True
        await super().write_eof()

    def is_idle(self, now_s: float) -> bool:
        """Return whether nothing has passed for too long, as far as looks from time to time tell."""
        if self._carried_bytes != self._seen_bytes:
            self._seen_bytes, self._active_at_s = self._carried_bytes, now_s
        return 0 < self._idle_s <= now_s - self._active_at_s

    def is_unacknowledged(self, now_s: float, limit_s: float) -> bool:
        """Return whether the origin acknowledged nothing for so long, although it should have."""
        try:
            state = read_output_state(self._sock)
        except OSError:
            return False  # it has ended by itself
        return self._output.is_dead(state, now_s, limit_s)

    def _note_end(self) -> None:
        if not self._is_client_done and self.ended_after_s is None:
            self.ended_after_s = asyncio.get_running_loop().time() - self._opened_at_s
