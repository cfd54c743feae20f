"""Worker of an edge as a thread of the tests: the same class in a loop of its own, without its imports."""

import asyncio
import os
import socket
import threading
from dataclasses import dataclass

from towonel.edge.worker.process import EdgeWorker
from towonel.relay.channel import Channel
from towonel.relay.supervisor import WorkerProcess


@dataclass
class ThreadWorker:
    """Handle of a worker in a thread, with what the supervisor needs of a process."""

    thread: threading.Thread

    @property
    def pid(self) -> int:
        return self.thread.native_id or os.getpid()

    def kill(self) -> None:
        """It ends by itself: its channel is closed, and orphans of the tests do not wait."""

    async def wait(self) -> int:
        await asyncio.to_thread(self.thread.join)
        return 0


async def start_thread(channel: socket.socket) -> WorkerProcess:
    worker = EdgeWorker(Channel(socket.socket(fileno=os.dup(channel.fileno()))))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return ThreadWorker(thread)
