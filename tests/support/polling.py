"""Polling of a condition: often at first, then more seldom, since each question takes processor time."""

from collections.abc import Iterator

FIRST_S = 0.01
MAX_S = 0.1
SHARE = 0.125  # of the time that it took so far, once that is more than `MAX_S`: nobody waits much longer
SELDOM_S = 0.5


def pauses() -> Iterator[float]:
    """Yield how long to wait before the next question: each time half as long again."""
    pause_s, waited_s = FIRST_S, 0.0
    while True:
        yield pause_s
        waited_s += pause_s
        most_s = min(max(MAX_S, waited_s * SHARE), SELDOM_S)
        pause_s = min(pause_s * 1.5, most_s)
