"""File in memory with an index of routes, as control writes it: sealed, so that workers can trust it."""

import fcntl
import mmap
import os
import time
from typing import Final

from towonel.edge.core.route_index import SEED_BYTES, RouteIndex
from towonel.edge.core.route_index_writer import (
    Changes,
    make_empty_index,
    plan_index,
    write_index,
)
from towonel.edge.worker.route_memory import LEAVE, SEALS, IndexPages, map_index

_PAUSE_S: Final = 0.0002  # in which the event loop gets the interpreter


class IndexFile:
    """File of an index.

    Args:
        descriptor: of the file, sealed; closed with this.

    Attributes:
        index: what is in it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.index = map_index(descriptor)

    def duplicate(self, count: int) -> list[int]:
        """Return as many descriptors for workers.

        Raises:
            OSError: there are no more.
        """
        made: list[int] = []
        try:
            for _ in range(count):
                made.append(os.dup(self._descriptor))  # noqa: PERF401 those before are to be closed
        except OSError:
            for descriptor in made:
                os.close(descriptor)
            raise
        return made

    def close(self) -> None:
        """Close it; who has mapped it keeps it."""
        os.close(self._descriptor)


def write_index_file(before: RouteIndex | None, changes: Changes) -> IndexFile:
    """Return a file with the routes of an index and changes to them; for a thread.

    It gives way to other threads often: a million routes take some seconds.
    """
    before = before or make_empty_index(os.urandom(SEED_BYTES))
    plan = plan_index(before, changes)
    descriptor = os.memfd_create("routes", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, plan.size)
        with (
            mmap.mmap(descriptor, plan.size, trackfd=False) as mapped,
            memoryview(mapped) as memory,
        ):
            length = write_index(memory, plan, before, changes, _give_way)
        _leave_pages(before)
        os.ftruncate(descriptor, length)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        return IndexFile(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _give_way() -> None:
    time.sleep(_PAUSE_S)


def _leave_pages(index: RouteIndex) -> None:
    """Leave the pages that were read, so that the event loop need not leave all of them at once."""
    if isinstance(index.data.obj, mmap.mmap):
        pages = IndexPages(index.data, LEAVE)
        while pages.advise():
            _give_way()
