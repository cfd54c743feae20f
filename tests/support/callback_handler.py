"""Handler of the relay's loop that calls functions.

Tests hand it theirs rather than inherit from `Handler`: of classes that are compiled, only compiled ones can
inherit. So where the engine is compiled for a test, this module is as well.
"""

from collections.abc import Callable
from socket import SocketType
from typing import Never, override

from towonel.relay.loop import Flusher, Handler, Loop
from towonel.relay.memory import Memory
from towonel.relay.pipes import PipePool
from towonel.relay.socket_end import SocketEnd


def refuse(*_: object) -> Never:
    """Fail the test: nothing of this kind is expected."""
    raise NotImplementedError


class CallbackEnd(SocketEnd):
    """Socket in the loop that calls functions: when it may be read, and with an exception that is a bug."""

    def __init__(
        self,
        sock: SocketType,
        loop: Loop,
        on_readable: Callable[[], object],
        crash: Callable[[Exception], object],
    ) -> None:
        super().__init__(sock, loop, Memory(PipePool(0)))
        self._on_readable = on_readable
        self._crash = crash

    @override
    def on_readable(self) -> None:
        self._on_readable()

    @override
    def take_turn(self) -> bool:
        self._on_readable()
        return False

    @override
    def crash(self, error: Exception) -> None:
        self._crash(error)


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


class CallbackFlusher(Flusher):
    """Flusher that calls functions."""

    def __init__(
        self, flush: Callable[[], object], crash: Callable[[Exception], object] = refuse
    ) -> None:
        self._flush = flush
        self._crash = crash

    @override
    def flush_round(self) -> None:
        self._flush()

    @override
    def crash(self, error: Exception) -> None:
        self._crash(error)
