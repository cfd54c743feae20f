"""Handlers of signals in an event loop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Iterable


@contextlib.contextmanager
def handle_signals(
    numbers: Iterable[signal.Signals], handle: Callable[[signal.Signals], object]
) -> Generator[None]:
    """Have the running loop call `handle`; whoever leaves this has set other handlers.

    The loop's own way takes its handlers back by the default action, which ends the process.
    """
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    with reader, writer:
        for end in (reader, writer):
            end.setblocking(False)
        loop.add_reader(reader, reader.recv, 4096)  # what wakes the loop has no meaning
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda n, _: loop.call_soon_threadsafe(handle, signal.Signals(n)))
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            loop.remove_reader(reader)


def ignore_signals(numbers: Iterable[signal.Signals]) -> None:
    """Ignore signals from now on: the process is ending, and has its exit code."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
