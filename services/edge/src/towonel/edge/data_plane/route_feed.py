"""Feed of route changes to workers, in order, and without a pause of control for a large one."""

import asyncio
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from towonel.edge.worker.messages import Message, Routes
from towonel.wire.routes import RouteDelta, encode_delta

MAX_INLINE_BYTES: Final = 32 * 1024  # more travels in a file in memory
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
FEW_ROUTES: Final = 1000  # which take a millisecond or two to encode


class RouteReader(Protocol):
    """Reader of route changes: one worker."""

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, whose descriptors are closed then."""
        ...

    def on_routes(self) -> None:
        """Act on a whole table that was sent."""
        ...


@dataclass(frozen=True, slots=True)
class _Change:
    delta: RouteDelta
    readers: Sequence[RouteReader]
    is_table: bool


class RouteFeed:
    """Feed of route changes: a small one goes at once, unless a large one is under way."""

    def __init__(self) -> None:
        self._queue = asyncio.Queue[_Change]()
        self._is_busy = False

    def send(
        self, delta: RouteDelta, readers: Sequence[RouteReader], *, is_table: bool = False
    ) -> None:
        """Send a change to some workers, after those before it.

        Args:
            delta: not changed any more.
            readers: who gets it.
            is_table: whether it is all that a worker has to know before it can serve clients.
        """
        change = _Change(delta, readers, is_table)
        few = max(len(delta.routes), len(delta.removed), len(delta.blocked)) <= FEW_ROUTES
        if few and not self._is_busy and self._queue.empty():
            _send(change, encode_delta(delta))
        else:
            self._queue.put_nowait(change)

    async def run(self) -> None:
        """Send what waits, for ever."""
        while True:
            change = await self._queue.get()
            self._is_busy = True
            try:
                _send(change, await asyncio.to_thread(encode_delta, change.delta))
            finally:
                self._is_busy = False


def _send(change: _Change, data: bytes) -> None:
    for reader in change.readers:
        if len(data) <= MAX_INLINE_BYTES:
            reader.send(Routes(data))
        else:
            reader.send(Routes(b""), [_to_file(data)])
        if change.is_table:
            reader.on_routes()


def _to_file(data: bytes) -> int:
    descriptor = os.memfd_create("routes", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor
