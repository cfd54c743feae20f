"""Loop of a flow worker that a test turns by hand, with a clock that stands still between."""

import os
import select
import time
from collections.abc import Callable

from towonel.relay.flows.reader import DatagramReader
from towonel.relay.flows.sockets import DatagramSocket, Endpoint, bind_datagrams
from towonel.relay.loop import Loop

WAIT_S = 10.0


class FlowLoop:
    """Loop that is turned by hand.

    Attributes:
        now: of its clock, in seconds.
        crashes: exceptions that are bugs.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.loop = Loop(clock=lambda: self.now)
        self.crashes: list[Exception] = []
        self._ready = os.eventfd(1)  # always, so that no turn waits for others
        silent = DatagramSocket(bind_datagrams("127.0.0.1", 0))
        self._silent = DatagramReader(self.loop, silent, self._ignore, self.crashes.append)
        self.loop.add(self._ready, self._silent, select.EPOLLIN)

    def _ignore(self, _run: list[bytes], _endpoint: Endpoint) -> None:
        """Take what nobody sends."""

    def turn(self, times: int = 3) -> None:
        """Act on what has come already."""
        for _ in range(times):
            self.loop.run_once()

    def until(self, condition: Callable[[], bool]) -> None:
        """Turn until something holds."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "it does not come true"
            self.loop.run_once()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and expire what is due."""
        self.now += seconds
        self.turn()

    def close(self) -> None:
        """End it; whatever crashed is a failure."""
        self._silent.close()
        self.loop.close()
        os.close(self._ready)
        assert self.crashes == []
