"""Driver of a state machine on the event loop.

Not a coroutine that waits for the next event: QUIC calls back for each datagram, and a queue and a
task in between would reorder messages with the streams beside them. So the events of a machine are
calls, and its deadline is one timer of the loop.
"""

import asyncio
from collections.abc import Callable

from towonel.tunnel.core.events import Command, Event
from towonel.tunnel.core.machine import Machine


class Driver:
    """Hands events and time to a machine, and its commands to `execute`.

    A command may cause the next event before it returns; the machine is in its new state by then.

    Args:
        machine: to be driven.
        execute: carries out a command.
    """

    def __init__(self, machine: Machine, execute: Callable[[Command], None]) -> None:
        self._machine = machine
        self._execute = execute
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def handle(self, event: Event) -> None:
        """Let the machine handle an event."""
        self._run(self._machine.handle(event, self._loop.time()))

    def _tick(self) -> None:
        self._timer = None
        self._run(self._machine.tick(self._loop.time()))

    def _run(self, commands: list[Command]) -> None:
        self._arm()
        for command in commands:
            self._execute(command)

    def _arm(self) -> None:
        """Wake at the deadline; a timer that is too early stays and looks again."""
        deadline = self._machine.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._tick)
