"""Notices of edges that the hub lists other edges: the agent asks it, at a moment of its own, and not too often."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

MAX_WITHIN_S: Final = 60.0  # after which the agent asks in any case


class EdgeNotices:
    """Notices of all edges, which together have the hub asked once.

    Args:
        ask: has the hub asked.
        rng: spreads the agents of an edge over the time that it names.
        pause_s: between two times at least, whatever edges say.
    """

    def __init__(self, ask: Callable[[], None], rng: Random, pause_s: float) -> None:
        self._ask = ask
        self._rng = rng
        self._pause_s = pause_s
        self._loop = asyncio.get_running_loop()
        self._requested_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def take(self, within_ms: int) -> None:
        """Have the hub asked within so many ms, unless that is about to be."""
        if self._timer is not None:
            return
        drawn_s = self._rng.uniform(0, min(within_ms / 1000, MAX_WITHIN_S))
        at = max(self._loop.time() + drawn_s, self._requested_at + self._pause_s)
        self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer, self._requested_at = None, self._loop.time()
        self._ask()
