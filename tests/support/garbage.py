"""Garbage collection on demand: what was left open complains then, and not in somebody else's test."""

import gc


def collect() -> None:
    """Collect what nobody refers to any more, and let the next search pass over what stays.

    A worker of xdist has hundreds of thousands of objects after a thousand tests: to look through them takes
    0.2 s, again for each test that asks.
    """
    gc.collect()
    gc.freeze()
