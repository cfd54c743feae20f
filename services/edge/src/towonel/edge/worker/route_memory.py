"""Memory of an index of routes, which control has written and all workers map."""

import fcntl
import mmap
import os
from collections import deque
from typing import Final, cast, override

from towonel.edge.core.route_index import RouteIndex
from towonel.relay.loop import Handler, Loop
from towonel.wire.errors import Code, ProtocolError

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
PART_BYTES: Final = 1024 * 1024  # whose pages are brought in, or left, in 0.2 ms
LEAVE: Final = mmap.MADV_DONTNEED
BRING: Final = 22  # MADV_POPULATE_READ, of Linux 5.14


def map_index(descriptor: int) -> RouteIndex:
    """Return the index in a file in memory, which may be closed then.

    Raises:
        ProtocolError: MALFORMED where it can change yet, or is no index; UNSUPPORTED_VERSION.
        OSError: there is no memory for it.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise ProtocolError(Code.MALFORMED, "the index of routes is not sealed")
    if not os.fstat(descriptor).st_size:
        raise ProtocolError(Code.MALFORMED, "the index of routes is empty")
    # Private, since a shared one may not be mapped once it is sealed, before Linux 6.7: no page is copied.
    mapped = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, trackfd=False)
    return RouteIndex(memoryview(mapped))


class IndexPages:
    """Pages of an index, and what is done to them from the first to the last."""

    def __init__(self, data: memoryview, advice: int) -> None:
        self.data = data
        self.advice = advice
        self.at = 0

    def advise(self) -> bool:
        """Do it to a part of them, and return whether there are more.

        Raises:
            OSError: this kernel does not do it.
        """
        mapped = cast("mmap.mmap", self.data.obj)
        mapped.madvise(self.advice, self.at, min(PART_BYTES, len(self.data) - self.at))
        self.at += PART_BYTES
        return self.at < len(self.data)


class IndexPager(Handler):
    """Pager of an index: lets a worker find all its pages, and leave those of the one before, by and by.

    A name whose pages nobody has looked at costs three times as much to look up, and to leave a large index at
    once takes some milliseconds.

    Args:
        loop: of the worker.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._work: deque[IndexPages] = deque()

    def change(self, before: RouteIndex | None, index: RouteIndex) -> None:
        """Act on an index that takes the place of another one."""
        self._work.append(IndexPages(index.data, BRING))
        if before is not None:
            self._work.append(IndexPages(before.data, LEAVE))
        self._loop.queue(self)

    @override
    def take_turn(self) -> bool:
        try:
            has_more = self._work[0].advise()
        except OSError:  # then they come one by one, when they are needed
            has_more = False
        if not has_more:
            self._work.popleft()
        return bool(self._work)
