"""Polling of a condition: often at first, then more seldom, since each question takes processor time."""

from collections.abc import Iterator

FIRST_S = 0.01
MAX_S = 0.1


def pauses() -> Iterator[float]:
    """Yield how long to wait before the next question: each time half as long again."""
    pause_s = FIRST_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 1.5, MAX_S)
