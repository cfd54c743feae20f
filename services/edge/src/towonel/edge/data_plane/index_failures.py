"""Record of failures to make or map an index of routes: each is counted, the first of several is logged."""

import structlog

from towonel.edge.metrics import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class IndexFailures:
    """Record of failures since an index was last made.

    Args:
        metrics: counts each.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._counter = metrics.index_failures
        self._is_failing = False

    def note(self, error: str) -> None:
        """Record a failure."""
        self._counter.inc()
        if not self._is_failing:
            log.warning("routes.index_failed", error=error)
        self._is_failing = True

    def clear(self) -> None:
        """Record that an index was made."""
        self._is_failing = False
