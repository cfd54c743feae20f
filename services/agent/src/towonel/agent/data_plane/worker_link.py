"""Link of control to one of an agent's workers, which may be replaced by another."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, override

from towonel.agent.worker import messages
from towonel.agent.worker.messages import Down, Drain, Drained
from towonel.relay.channel import ChannelMessage
from towonel.relay.supervisor import Control, Worker

if TYPE_CHECKING:
    from towonel.agent.data_plane.lanes import Lanes


class WorkerLink(Control):
    """Link to one worker.

    Args:
        lanes: of all workers.
        number: of this one, from 0.

    Attributes:
        worker: the process; None while there is none.
    """

    def __init__(self, lanes: "Lanes", number: int) -> None:
        self._lanes = lanes
        self.number = number
        self.worker: Worker | None = None
        self._draining = False
        self._drained = asyncio.Event()

    def tell(self, message: Down, descriptors: Sequence[int] = ()) -> None:
        """Tell the worker; one that is started later is told the whole state."""
        if self.worker is not None:
            self.worker.send(message.kind, messages.encode(message), descriptors)

    def drain(self) -> None:
        """Let the worker take no more clients; one that is started later takes none."""
        self._draining = True
        if self.worker is None:
            self._drained.set()
        self.tell(Drain())

    async def wait_drained(self) -> None:
        """Wait until the worker has no client any more."""
        await self._drained.wait()

    @override
    def on_started(self, worker: Worker) -> None:
        self.worker = worker
        self._lanes.feed(self)

    @override
    def on_message(self, worker: Worker, message: ChannelMessage) -> None:
        decoded = messages.decode(message)
        if isinstance(decoded, Drained):
            self._drained.set()
        else:
            self._lanes.act(self.number, decoded)

    @override
    def on_lost(self, reason: str) -> None:
        self.worker = None
        self._lanes.lose(self.number, reason)
        if self._draining:
            self._drained.set()
