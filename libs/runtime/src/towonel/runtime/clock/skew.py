"""Report of how far the clock of this machine is from another machine's: log, metric and health."""

from typing import Final

import structlog
from prometheus_client import Gauge

from towonel.runtime.admin import Health

CLOCK: Final = "clock"  # what is degraded
SKEWED_MS: Final = 10_000  # from here on it is reported: far above what a measure may be wrong by
RIGHT_MS: Final = 5_000  # so that a clock at the bound is not in the log again and again
log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ClockSkew:
    """Report of a clock that is wrong, as soon as it is so and until it is right.

    Args:
        of: whose clock it is compared with, as in "the server".
        health: is degraded meanwhile.
        metric: shows the seconds, always.
        limit_ms: beyond which the other machine refuses this one.

    Attributes:
        skew_ms: how far this clock was ahead when it was measured last; None before.
    """

    def __init__(self, of: str, health: Health, metric: Gauge, limit_ms: int) -> None:
        self._of = of
        self._health = health
        self._metric = metric
        self._limit_s = limit_ms // 1000
        self._is_skewed = False
        self.skew_ms: int | None = None

    def record(self, skew_ms: int) -> None:
        """Record by how many milliseconds this clock is ahead; fewer than 0 where it is behind."""
        self.skew_ms = skew_ms
        self._metric.set(skew_ms / 1000)
        was_skewed, bound_ms = self._is_skewed, RIGHT_MS if self._is_skewed else SKEWED_MS
        self._is_skewed = abs(skew_ms) >= bound_ms
        if not self._is_skewed:
            self._health.set_degraded(CLOCK, reason=None)
            if was_skewed:
                log.info("clock.corrected", skew_s=skew_ms / 1000)
            return
        side = "ahead of" if skew_ms > 0 else "behind"
        reason = (
            f"this machine's clock is {abs(skew_ms) // 1000} s {side} {self._of}'s, which refuses"
            f" more than {self._limit_s} s: set it, as with NTP, or {self._of}'s if that is wrong"
        )
        self._health.set_degraded(CLOCK, reason=reason)
        if not was_skewed:
            log.warning("clock.skewed", skew_s=skew_ms / 1000, limit_s=self._limit_s)
