"""Handler of the relay's loop that calls functions.

Tests hand it theirs rather than inherit from `Handler`: of classes that are compiled, only compiled ones can
inherit. So where the engine is compiled for a test, this module is as well.
"""

from collections.abc import Callable
from typing import Never, override

from towonel.relay.loop import Handler


def refuse(*_: object) -> Never:
    """Fail the test: nothing of this kind is expected."""
    raise NotImplementedError


class CallbackHandler(Handler):
    """Handler that calls functions; arguments are named after the methods that call them."""

    def __init__(
        self,
        *,
        on_ready: Callable[[int], object] = refuse,
        take_turn: Callable[[], bool] = refuse,
        expire: Callable[[], object] = refuse,
        crash: Callable[[Exception], object] | None = None,
    ) -> None:
        self._on_ready = on_ready
        self._take_turn = take_turn
        self._expire = expire
        self._crash = crash

    @override
    def on_ready(self, events: int) -> None:
        self._on_ready(events)

    @override
    def take_turn(self) -> bool:
        return self._take_turn()

    @override
    def expire(self) -> None:
        self._expire()

    @override
    def crash(self, error: Exception) -> None:
        if self._crash is None:
            super().crash(error)
        else:
            self._crash(error)
