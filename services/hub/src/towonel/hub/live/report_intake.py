"""Admission of the reports of edges: one at a time of each, few in all, and not too often."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator

from towonel.hub.bounds import Bounds
from towonel.hub.core.places import KeyedPlaces
from towonel.hub.core.rate_limits import Rate
from towonel.hub.live.rate_limits import Limiter
from towonel.wire.errors import Code, Unavailable


class ReportIntake:
    """Admission of reports; a place is held while the body is read and stored.

    An edge that proved itself before its body is read takes a place of its own kind. Others, of
    whom that is known only afterwards, share a few: a stranger who sends in the name of an edge
    keeps no edge waiting that does prove itself.

    Args:
        limiter: counts the reports of each edge.
        rate: of the reports of each edge.
        bounds: of the hub.
    """

    def __init__(self, limiter: Limiter, rate: Rate, bounds: Bounds) -> None:
        self._limiter = limiter
        self._rate = rate
        self._bounds = bounds
        self._places = asyncio.Semaphore(bounds.reports)
        self._sending = KeyedPlaces(1, "report of this edge", retry_after_s=2)
        self._unproved = KeyedPlaces(1, "report of this edge", retry_after_s=2)

    async def count(self, edge_id: bytes) -> None:
        """Count a report whose edge proved itself.

        Raises:
            Unavailable: RATE_LIMITED, and when to come back.
        """
        await self._limiter.take(f"report:{edge_id.hex()}", self._rate)

    @contextlib.asynccontextmanager
    async def admit(self, edge_id: bytes) -> AsyncGenerator[None]:
        """Hold a place for a report whose edge proved itself.

        Raises:
            Unavailable: RATE_LIMITED for an edge that sends another report, OVERLOADED if no place
                becomes free.
        """
        with self._sending.hold(edge_id):
            try:
                async with asyncio.timeout(self._bounds.report_wait_s):
                    await self._places.acquire()
            except TimeoutError as error:
                raise Unavailable(
                    Code.OVERLOADED, "too many edges report at once; ask again", retry_after_s=5
                ) from error
            try:
                yield
            finally:
                self._places.release()

    @contextlib.contextmanager
    def admit_unproved(self, edge_id: bytes) -> Generator[None]:
        """Hold a place for a body whose signature can be checked only once all of it is here.

        Raises:
            Unavailable: OVERLOADED if others hold these places.
        """
        if len(self._unproved) >= self._bounds.unproved_reports:
            raise Unavailable(
                Code.OVERLOADED, "too many report without a body hash; ask again", retry_after_s=5
            )
        with self._unproved.hold(edge_id):
            yield
