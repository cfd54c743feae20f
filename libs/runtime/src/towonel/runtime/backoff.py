"""Exponential backoff with jitter: the pause before the next try grows with each failure."""

from random import Random


class Backoff:
    """Backoff whose delays double from `first_s` to `max_s`, each drawn between half and whole.

    A try that lasted for `reset_after_s` was a success: the next failure starts over.
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

    def record_success(self, lasted_s: float) -> None:
        """Start over if the last try lasted long enough to be a success."""
        if lasted_s >= self._reset_after_s:
            self._next_s = self._first_s
