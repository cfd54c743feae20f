"""Memory of an index of routes, which control has written and all workers map."""

import fcntl
import mmap
from typing import Final

from towonel.edge.core.route_index import RouteIndex
from towonel.wire.errors import Code, ProtocolError

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def map_index(descriptor: int) -> RouteIndex:
    """Return the index in a file in memory, which may be closed then.

    Raises:
        ProtocolError: MALFORMED where it can change yet, or is no index; UNSUPPORTED_VERSION.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise ProtocolError(Code.MALFORMED, "the index of routes is not sealed")
    # Private, since a shared one may not be mapped once it is sealed, before Linux 6.7: no page is copied.
    mapped = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, trackfd=False)
    return RouteIndex(memoryview(mapped))
