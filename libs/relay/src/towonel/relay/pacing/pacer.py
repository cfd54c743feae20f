"""Pacer of the connections of a tenant whose bandwidth is limited.

    may pass ─▶ a buffer of bytes ─▶ spent        while there are tokens, and nobody waits
    may not  ─▶ waits for its turn                each in its turn, a buffer at a time

Whoever may not pass leaves its bytes in the kernel, where they hold back their sender. Connections without a pacer
cost nothing.
"""

from typing import Final, override

from towonel.relay.core.rate_limit import RateLimit
from towonel.relay.loop import Handler, Loop
from towonel.relay.socket_end import SocketEnd

BURST_S: Final = 0.1  # of a rate, at once after a while without bytes
MIN_BURST: Final = 64 * 1024  # bytes: two buffers
_MAX_WAIT_S: Final = 1.0  # what other workers spend, or a rate that is changed, is looked at again
_BITS: Final = 8


class Pacer(Handler):
    """Pacer of both ways of all connections of a tenant, in one worker.

    Args:
        loop: of the worker.
        limit: bytes a second, and what is left of them.
    """

    def __init__(self, loop: Loop, limit: RateLimit) -> None:
        self._loop = loop
        self._limit = limit
        self._waiting: dict[SocketEnd, None] = {}
        self._current: SocketEnd | None = None  # whose turn it is

    def admits(self, end: SocketEnd) -> bool:
        """Whether a socket may be read now; else its `on_readable` is called when it may."""
        if end is self._current:
            return True
        if not self._waiting and self._limit.has(1, self._loop.wheel.now):
            return True
        if not self._waiting:
            self.group = end.group
            self._wait()
        self._waiting.setdefault(end)
        return False

    def spend(self, count: int) -> None:
        """Count bytes that were read."""
        self._current = None
        self._limit.spend(count)

    def forget(self, end: SocketEnd) -> None:
        """Forget a socket that is closed."""
        self._waiting.pop(end, None)

    def change(self, bits_per_s: int) -> None:
        """Use another rate from now on."""
        self._limit.change(*plan_bytes(bits_per_s), self._loop.wheel.now)

    def stop(self) -> None:
        """Let all that wait go on, without a limit: their pacer is taken away."""
        for end in self._waiting:
            self._loop.queue(end)
        self._waiting.clear()
        self._loop.delays.disarm(self)

    @override
    def expire(self) -> None:
        self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        if not self._waiting:
            return False
        if not self._limit.has(1, self._loop.wheel.now):
            self._wait()
            return False
        self._current = end = next(iter(self._waiting))
        del self._waiting[end]
        try:
            end.on_readable()
        except Exception as error:  # noqa: BLE001 the others go on
            end.crash(error)
        self._current = None
        return bool(self._waiting)

    def _wait(self) -> None:
        wait_s = self._limit.wait_s(1, self._loop.wheel.now)
        self._loop.delays.arm(self, min(wait_s, _MAX_WAIT_S))


def plan_bytes(bits_per_s: int) -> tuple[float, float]:
    """Return bytes a second, and bytes at once, of a limit."""
    per_s = bits_per_s / _BITS
    return per_s, max(BURST_S * per_s, MIN_BURST)
