"""How long to wait before the next try: longer each time, never the same for everyone."""

from random import Random


class Backoff:
    """Delays that double from `first_s` to `max_s`, each drawn between a half and the whole.

    A try that held for `reset_after_s` was a success: the next failure starts over.
    """

    def __init__(self, first_s: float, max_s: float, reset_after_s: float = 0.0) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._reset_after_s = reset_after_s
        self._next_s = first_s

    def next_delay(self, rng: Random) -> float:
        """Return the seconds to wait now."""
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, self._max_s)
        return rng.uniform(delay_s / 2, delay_s)

    def record_success(self, for_s: float) -> None:
        """Say how long the last try held."""
        if for_s >= self._reset_after_s:
            self._next_s = self._first_s
