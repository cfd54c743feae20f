"""Garbage collection that is put off while a large part of memory is used once.

A full collection looks at every object there is, and everything else waits: a second for some millions.
"""

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def put_off_collection() -> Generator[None]:
    """Collect no garbage during the block, nor in other threads."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
