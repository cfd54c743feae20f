"""Choice of the kind of a session's lanes: plain ones, or TLS ones where these fail.

    plain ── 3 failures in a row ──▶ TLS ── 3 ──▶ none works: streams; each is tried now and then
      ◀── a plain lane works, tried 1 to 10 minutes later, and again ──┘

A session whose lanes are to be inside TLS has that kind alone, and never falls back to a plain one.
"""

from enum import StrEnum
from typing import Final

from towonel.relay.core.lane_pool import redial_after_s

MAX_FAILURES: Final = 3  # in a row, of one kind


class LaneKind(StrEnum):
    """Kind of a lane; the value is its word in metrics."""

    PLAIN = "lane"
    TLS = "tls_lane"


class KindChoice:
    """Choice among kinds.

    Args:
        kinds: in order of preference.

    Attributes:
        failures: in a row, of all kinds.
    """

    def __init__(self, kinds: tuple[LaneKind, ...]) -> None:
        assert kinds, "there is a kind"
        self._kinds = kinds
        self._first = 0  # the one that worked last
        self._trials = 0  # of the preferred one, that failed while another works
        self.failures = 0

    @property
    def kind(self) -> LaneKind:
        """The kind to dial next."""
        count = len(self._kinds)
        tried = self.failures // MAX_FAILURES
        step = tried if tried < count else self.failures % count
        return self._kinds[(self._first + step) % count]

    @property
    def preferred(self) -> LaneKind | None:
        """The kind to try now and then, if it is not the one that works."""
        return self._kinds[0] if self._first and not self.failures else None

    def note_failure(self, kind: LaneKind) -> bool:
        """Note an admission that failed, and return whether no kind works: it is time to fall back."""
        if kind is not self.kind and self.failures < MAX_FAILURES * len(self._kinds):
            self._trials += 1  # of the preferred kind, or one that failed late
            return False
        self.failures += 1
        return self.failures == MAX_FAILURES * len(self._kinds)

    def note_working(self, kind: LaneKind) -> None:
        """Note a lane that both ends have admitted."""
        self.failures = 0
        first = self._kinds.index(kind)
        if first != self._first:
            self._first, self._trials = first, 0

    def redial_after_s(self, draw: float) -> float:
        """Return how long to wait after the last failure; `draw` is from 0 to 1."""
        before_last = MAX_FAILURES * (len(self._kinds) - 1)
        if self.failures <= before_last:
            return redial_after_s(self.failures % MAX_FAILURES or 1, draw)
        return redial_after_s(self.failures - before_last, draw)

    def retry_after_s(self, draw: float) -> float:
        """Return when to try the preferred kind again: in 1 to 10 minutes."""
        return redial_after_s(MAX_FAILURES + self._trials, draw)
