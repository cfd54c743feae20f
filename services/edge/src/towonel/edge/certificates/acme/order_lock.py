"""Lock on the order of a name: of processes with one folder, as in an upgrade of an edge, one orders it at a time."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from towonel.wire.names import Hostname

SUFFIX: Final = ".lock"
LOOK_S: Final = 0.25


@contextlib.asynccontextmanager
async def hold_order(folder: Path, name: Hostname, look_s: float = LOOK_S) -> AsyncGenerator[None]:
    """Hold the order of a name for the time of the block, once no other process has it.

    Raises:
        OSError: the folder cannot be written to.
    """
    path = folder / f"{name}{SUFFIX}"
    while (descriptor := _try_lock(path)) is None:  # noqa: ASYNC110 another process sets no event
        await asyncio.sleep(look_s)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """Return the descriptor of a file that is locked, or None while another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    if os.fstat(descriptor).st_nlink == 0:  # the one who had it has just removed the file
        os.close(descriptor)
        return None
    return descriptor
