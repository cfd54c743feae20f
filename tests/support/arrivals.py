"""Clients that come at a steady rate while something is done to what serves them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Arrivals:
    """Clients that come at a steady rate, each with a connection of its own."""

    ask: Callable[[str], Awaitable[bytes]]
    pause_s: float
    answers: list[bytes] = field(default_factory=list[bytes])

    async def run(self, tasks: asyncio.TaskGroup, done: asyncio.Event) -> None:
        """Let clients come until `done`; one that fails fails the test."""
        while not done.is_set():
            tasks.create_task(self._ask())
            await asyncio.sleep(self.pause_s)

    def has(self, count: int) -> bool:
        """Whether so many have been answered."""
        return len(self.answers) >= count

    async def _ask(self) -> None:
        self.answers.append(await self.ask("name"))
