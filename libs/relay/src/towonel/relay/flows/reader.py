"""Reader of a UDP socket in a loop: a batch at once, then others get their turn."""

import contextlib
from collections.abc import Callable
from typing import override

from towonel.relay.flows.sockets import BATCH, DatagramSocket, Endpoint
from towonel.relay.loop import READABLE, Handler, Loop

type Take = Callable[[list[bytes], Endpoint], None]


class DatagramReader(Handler):
    """Reader of one socket, from now on.

    Args:
        loop: of the worker.
        sock: closed with this.
        take: gets datagrams as they come, and where they are from.
        report_crash: is told of an exception that is a bug; what has come besides is read all the same.
    """

    def __init__(
        self,
        loop: Loop,
        sock: DatagramSocket,
        take: Take,
        report_crash: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self.sock = sock
        self._take = take
        self._report_crash = report_crash
        loop.add(sock.fileno(), self)

    @override
    def on_ready(self, events: int) -> None:
        if events & READABLE and self._read():
            self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        return self._read()

    @override
    def crash(self, error: Exception) -> None:
        self._report_crash(error)
        self._loop.queue(self)

    def close(self) -> None:
        """Read no more, and close the socket."""
        self._loop.forget(self.sock.fileno())
        self.sock.close()

    def _read(self) -> bool:
        """Read a batch, and return whether there may be more."""
        count = 0
        while count < BATCH:
            found = self._receive()
            if found is None:
                return False
            run, endpoint = found
            count += len(run)
            self._take(run, endpoint)
        return True

    def _receive(self) -> tuple[list[bytes], Endpoint] | None:
        try:
            return self.sock.receive()
        except OSError:  # an ICMP error of an earlier send, or the socket is closed
            with contextlib.suppress(OSError):
                return self.sock.receive()
            return None
