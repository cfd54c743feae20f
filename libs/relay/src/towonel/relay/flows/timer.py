"""Timer that calls something again and again."""

from collections.abc import Callable
from typing import override

from towonel.relay.core.deadlines import DeadlineWheel, Timed


class Every(Timed):
    """Timer, from now on.

    Args:
        wheel: of the loop.
        period_s: between two calls.
        act: is called.
    """

    def __init__(self, wheel: DeadlineWheel, period_s: float, act: Callable[[], None]) -> None:
        self._wheel = wheel
        self._period_s = period_s
        self._act = act
        wheel.arm(self, period_s)

    @override
    def expire(self) -> None:
        self._wheel.arm(self, self._period_s)
        self._act()
