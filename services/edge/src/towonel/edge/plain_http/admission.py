"""Admission of clients of plain HTTP: how many there are at once, and how often each address comes."""

import contextlib
import time
from collections.abc import Generator
from typing import Final

from towonel.edge.core.admission import KeyedLimit
from towonel.tunnel.core.bounds.keyed_buckets import KeyedBuckets
from towonel.wire.errors import Code

PLACES: Final = 512  # connections at once
PER_SOURCE: Final = 32  # of them
PER_S: Final = 20.0  # requests of a source in a second
BURST: Final = 200.0
SOURCES: Final = 4096  # whose rates are remembered
REFUSED: Final = 128  # that are told so at once, for which each has some seconds


class HttpAdmission:
    """Counters of clients, in all and of each source."""

    def __init__(self) -> None:
        self._clients = 0
        self._sources = KeyedLimit[str](PER_SOURCE)
        self._refused = 0
        self._rates = KeyedBuckets[str](PER_S, BURST, SOURCES)

    @contextlib.contextmanager
    def count(self, source: str) -> Generator[Code | None]:
        """Count a client for the time of the block; yields why it gets no service, if it gets none."""
        code = self._find_excess(source)
        if code is not None:
            self._refused += 1
            try:
                yield code
            finally:
                self._refused -= 1
            return
        self._clients += 1
        self._sources.acquire(source)
        try:
            yield None
        finally:
            self._clients -= 1
            self._sources.release(source)

    @property
    def is_flooded(self) -> bool:
        """Whether so many are being refused that this one is not to be told why."""
        return self._refused > REFUSED

    def _find_excess(self, source: str) -> Code | None:
        if self._clients >= PLACES:
            return Code.OVERLOADED
        if self._sources.count(source) >= PER_SOURCE:
            return Code.LIMIT_EXCEEDED
        return None if self._rates.take(source, time.monotonic()) else Code.RATE_LIMITED
